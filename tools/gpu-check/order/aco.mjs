// AMD: the instructions that ACO has chosen, before registers are assigned (RADV's "ACO IR"), as a graph of values. It is in
// single static assignment: every value is defined once, loops by p_phi.
//
// A value is { op, args, text }: op is 'fma' (args a, b, c: a · b + c), 'add', 'mul', 'load' (of memory, with the
// `element` of what it loads, and of uniforms the `word` of the buffer), 'phi', 'const' or 'other'; args are values. Signs are left out.

const OPS = [
  [/^v_(fma|fmac|mad|mac)_f32$/, 'fma'],
  [/^v_fma(ak|mk)_f32$/, 'fma'],
  [/^v_(add|sub|subrev)_f32$/, 'add'],
  [/^v_(mul|mul_legacy)_f32$/, 'mul'],
  [/^(s_buffer_load|s_load|buffer_load|global_load|ds_read)/, 'load'],
];
const COPIES = /^(p_parallelcopy|p_as_uniform|v_mov_b32|p_split_vector|p_extract_vector)$/;

/** @returns { stores, values }: what is written to buffers, and all values in the order of the text */
export function parseAco(text) {
  const defined = new Map(); // id → how to make its value
  const order = [];
  const stored = [];
  const written = [];
  for (const line of text.split('\n')) {
    const [, results = '', op, rest = ''] = /^\t(?:(.*?) = )?([a-z]\w*)(?: (.*))?$/.exec(line) ?? [];
    if (!op) continue;
    const operands = rest.split(', ');
    const entry = { op, operands, text: line.trim() };
    for (const [element, [, id]] of [...results.matchAll(/%(\d+)/g)].entries()) {
      defined.set(id, { ...entry, element });
      order.push(id);
    }
    if (/^(buffer|global)_store/.test(op)) stored.push(operands[3]);
    if (/^ds_write/.test(op)) written.push(...operands.slice(1));
  }

  const values = new Map();
  const read = (operand) => {
    const id = /%(\d+)/.exec(operand)?.[1];
    if (id === undefined) return { op: 'const', args: [], text: operand };
    if (!values.has(id)) {
      const value = { op: 'other', args: [], text: `%${id}` };
      values.set(id, value); // before its arguments: loops lead back to it
      const definition = defined.get(id);
      if (definition) fill(value, definition);
    }
    return resolved(values.get(id));
  };
  const fill = (value, { op, operands, element, text: line }) => {
    value.text = line;
    if (COPIES.test(op)) {
      const [source, index] = op === 'p_parallelcopy' ? [operands[element]] : operands;
      const from = read(source);
      if (op === 'p_split_vector' || op === 'p_extract_vector') {
        const at = op === 'p_split_vector' ? element : Number(index);
        Object.assign(value, elementOf(from, at));
      } else value.same = from;
      return;
    }
    value.opcode = op;
    value.op = /phi$/.test(op) ? 'phi' : (OPS.find(([pattern]) => pattern.test(op))?.[1] ?? 'other');
    if (value.op === 'load') Object.assign(value, { element: 0, ...wordOf(op, operands) });
    value.args = value.op === 'load' ? [] : operands.map(read);
  };
  const graph = {
    stores: stored.map(read),
    writes: written.map(read),
    values: order.map((id) => read(`%${id}`)),
  };
  for (const value of values.values()) value.args = value.args.map(resolved); // copies inside loops
  return graph;
}

/** What a copy is a copy of; a phi of one value is one. */
function resolved(value) {
  let one = value;
  while (one.same) one = one.same;
  return one;
}

/** Element `at` of a vector: of a load, so that elements of one load can be told. */
function elementOf(from, at) {
  if (from.op === 'load')
    return { ...from, element: from.element + at, ...(from.word !== undefined && { word: from.word + at }) };
  if (from.text.includes('p_create_vector')) return { same: from.args[at] };
  return { op: 'other', args: [from] };
}

/** The word of a uniform buffer that a load begins with. */
function wordOf(op, operands) {
  return op.startsWith('s_buffer_load') ? { word: Number(operands[1]) / 4 } : {};
}
