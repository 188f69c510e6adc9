// Intel: the assembly that brw makes (ANV's "GEN Assembly") as a graph of values, of the kind that aco.mjs describes.
// Registers are followed through the text; where control flow comes together, and at the head of a loop, a phi takes up what a
// register may hold.

const OPS = { mad: 'fma', add: 'add', mul: 'mul' };
const TYPE_BYTES = { UB: 1, B: 1, UW: 2, W: 2, HF: 2, UQ: 8, Q: 8, DF: 8 };

/** @param registerWords words of a register: 8, from Xe2 on 16 */
export function parseGen(text, registerWords) {
  const graph = { stores: [], writes: [], values: [] };
  let state = new Map(); // first word → { value } or, of a message, { load, first }
  const blocks = [];

  const value = (op, args, line, more = {}) => {
    const made = { op, args, text: line, ...more };
    graph.values.push(made);
    return made;
  };
  const placeOf = (operand) => {
    const [, register, sub = '0', type] = /g(\d+)(?:\.(\d+))?(?:<[^>]*>)?([A-Z]+)/.exec(operand) ?? [];
    if (register === undefined) return undefined;
    return Number(register) * registerWords + Math.floor((Number(sub) * (TYPE_BYTES[type] ?? 4)) / 4);
  };
  const read = (operand, width) => {
    const place = placeOf(operand);
    if (place === undefined) return { op: 'const', args: [], text: operand };
    const held = state.get(place);
    if (!held) return { op: 'other', args: [], text: operand };
    if (held.value) return held.value;
    const offset = place - held.first;
    const scalar = operand.includes('<0,1,0>');
    return elementOf(held.load, scalar ? offset : Math.floor(offset / width), scalar);
  };
  const elementOf = (load, element, scalar) => {
    const key = `${element} ${scalar}`;
    load.elements ??= new Map();
    if (!load.elements.has(key))
      load.elements.set(key, { ...load, element, elements: undefined, word: scalar ? element : undefined });
    return load.elements.get(key);
  };
  const write = (operand, held, words) => {
    const place = placeOf(operand);
    if (place === undefined) return;
    for (let i = place; i < place + words; i++) state.delete(i);
    state.set(place, held);
  };

  const loops = new Set([...text.matchAll(/^while\(\d+\)\s+JIP:\s+(\w+)/gm)].map(([, label]) => label));
  for (const line of instructionsOf(text)) {
    if (line.endsWith(':')) {
      if (loops.has(line.slice(0, -1))) beginLoop();
      continue;
    }
    const [, predicate, mnemonic, size, rest] =
      /^(\([+-]f[^)]*\) )?([a-z][\w.]*(?: [a-z]\w*)?)\((\d+)\)\s*(.*)$/.exec(line) ?? [];
    const [name, kind] = (mnemonic ?? '').split(/[. ]/);
    const width = Number(size);
    if (name === 'if') blocks.push({ before: new Map(state) });
    else if (name === 'else') {
      const block = blocks.at(-1);
      block.taken = state;
      state = new Map(block.before);
    } else if (name === 'endif') {
      const { before, taken = before } = blocks.pop() ?? { before: state };
      state = merged(taken, state, value);
    } else if (name === 'while') {
      const { phis = new Map() } = blocks.pop() ?? {};
      for (const [place, { value: phi }] of phis) {
        const end = state.get(place)?.value;
        if (end && end !== phi) phi.args.push(end);
      }
    } else if (name === 'send' || name === 'sendc') message(line, rest, width);
    else if (rest !== undefined && /^g\d/.test(rest)) {
      const [target, ...operands] = operandsOf(rest);
      const type = /([A-Z]+)$/.exec(target)?.[1];
      const args = operands.map((operand) => read(operand, width));
      const opcode = `${name} ${kind ?? ''}:${type}`;
      if (name === 'mov' && !predicate) {
        const scaled = args[0].op === 'const' || /F$|D$/.test(operands[0].replace(/<[^>]*>/, ''));
        write(
          target,
          { value: scaled ? args[0] : value('other', args, line, { opcode }) },
          wordsOf(width, target),
        );
        continue;
      }
      const float = type === 'F';
      const op = float && OPS[name] ? OPS[name] : 'other';
      const ordered = op === 'fma' ? [args[1], args[2], args[0]] : args;
      let made = value(op, ordered, line, { opcode });
      if (name === 'sel' && !kind) Object.assign(made, { op: 'phi' });
      else if (predicate) made = value('phi', [made, read(target, width)], line);
      write(target, { value: made }, wordsOf(width, target));
    }
  }
  return graph;

  function beginLoop() {
    const phis = new Map();
    for (const [place, held] of state)
      if (held.value) phis.set(place, { value: value('phi', [held.value], 'loop') });
    state = new Map([...state, ...phis]);
    blocks.push({ phis });
  }

  function message(line, rest, width) {
    const [target, address, data] = rest.split(/\s+/);
    const local = /Surface = 254|slm MsgDesc/.test(line);
    if (/write|store/.test(line)) {
      // tgl may have data behind the address in one payload
      const source = data.startsWith('null') ? undefined : data;
      if (source) (local ? graph.writes : graph.stores).push(read(source, width));
      return;
    }
    const length = Number(/(?:rlen |dst_len = )(\d+)/.exec(line)?.[1] ?? 0);
    if (length === 0 || target.startsWith('null')) return;
    const load = value('load', [], line, { opcode: 'send', address });
    const first = placeOf(target);
    for (let i = 0; i < length * registerWords; i++) state.set(first + i, { load, first });
  }
}

/** Lines, a message's description joined to it; without waits and what stands in braces. */
function instructionsOf(text) {
  const joined = text.replace(/\n {20,}/g, ' ');
  return joined
    .split('\n')
    .map((line) =>
      line
        .replace(/\{ .*\}\s*;?$/, '')
        .replace(/\/\*.*?\*\//g, '')
        .trim(),
    )
    .filter((line) => line && !/^(sync|nop|START|END)/.test(line));
}

const operandsOf = (rest) => rest.trim().split(/\s+/);

const wordsOf = (width, target) => Math.max(1, Math.floor((width * (/(F|D)$/.test(target) ? 4 : 2)) / 4));

function merged(a, b, value) {
  const result = new Map();
  for (const place of new Set([...a.keys(), ...b.keys()])) {
    const [x, y] = [a.get(place), b.get(place)];
    if (!x || !y || x === y || x.value === undefined || y.value === undefined || x.value === y.value) {
      result.set(place, y ?? x);
    } else result.set(place, { value: value('phi', [x.value, y.value], 'endif') });
  }
  return result;
}
