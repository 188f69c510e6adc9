// What the exactness of docs/architecture.md needs of compiled code, asserted on graphs of values (aco.mjs, gen.mjs). Every check
// returns what is wrong, as sentences.

/** A product's epilogue: store ← + residual ← activation ← + bias ← the sum of chains, every addition an fma with the runtime 1. */
export function checkProduct({ stores, writes }, { bias, residual, activation, one, quads }) {
  const problems = new Set();
  const isOne = (value) => value.op === 'load' && value.word === one;
  /** { x, addend } of fma(x, one, addend). */
  const addition = (value) => {
    if (value.op !== 'fma') return undefined;
    const [a, b, addend] = value.args;
    if (isOne(b)) return { x: a, addend };
    if (isOne(a)) return { x: b, addend };
    return undefined;
  };
  const added = (value, what) => {
    const sum = addition(value);
    if (!sum) problems.add(`the ${what} is not added by fma(_, one, ${what}), but by: ${value.text}`);
    else if (sum.addend.op !== 'load') problems.add(`the ${what} is added to something else: ${value.text}`);
    return sum?.x;
  };
  const sumOfChains = (value, seen = new Set()) => {
    if (seen.has(value)) return;
    seen.add(value);
    const sum = addition(value);
    if (value.op === 'phi') for (const arg of value.args) sumOfChains(arg, seen);
    else if (sum) {
      sumOfChains(sum.x, seen);
      sumOfChains(sum.addend, seen);
    } else if (value.op === 'fma')
      for (const problem of checkChain(value, quads, seen)) problems.add(problem);
    else if (value.op !== 'const' && value.op !== 'load')
      // a load: of chains that other threads wrote
      problems.add(`chains are summed by: ${value.text}`);
  };
  if (stores.length === 0) problems.add('nothing is stored');
  for (const stored of stores) {
    let value = stored;
    if (residual) value = added(value, 'residual');
    if (value && activation) {
      const [argument, ...others] = argumentsOf(value, addition);
      if (!argument || others.length > 0)
        problems.add(`the activation has ${1 + others.length} arguments: ${value.text}`);
      value = argument;
    }
    if (value && bias) value = added(value, 'bias');
    if (value) sumOfChains(value);
  }
  // Of what goes through workgroup memory the chains; the rest are operands.
  for (const written of writes) if (waysTo(written).some(({ op }) => op === 'fma')) sumOfChains(written);
  return [...problems];
}

/** The sums that an activation's value is made of: the nearest fma with the runtime 1 on every way back. */
function argumentsOf(value, addition, seen = new Set()) {
  if (seen.has(value)) return [];
  seen.add(value);
  if (addition(value) || value.op === 'load') return [value];
  return [...new Set(value.args.flatMap((arg) => argumentsOf(arg, addition, seen)))];
}

/**
 * A chain of fma: each adds a product of two values that are no sums to the one before. Where both operands, or one, come as quads,
 * their elements follow each other in the order of k.
 */
function checkChain(last, quads, seen = new Set()) {
  const links = [];
  let value = last;
  while (value.op === 'fma') {
    links.unshift(value);
    seen.add(value);
    value = value.args[2];
    if (seen.has(value)) break;
  }
  const problems = [];
  if (value.op !== 'phi' && value.op !== 'const' && !seen.has(value))
    problems.push(`a chain begins with: ${value.text}`);
  for (const [i, { args, text }] of links.entries()) {
    if (args.slice(0, 2).some(({ op }) => op === 'fma' || op === 'add'))
      problems.push(`a sum is a factor in a chain: ${text}`);
    if (!quads) continue;
    const elements = args.slice(0, 2).flatMap((arg) => (arg.op === 'load' ? [arg.element % 4] : []));
    if (elements.length === 0 || elements.some((element) => element !== i % 4))
      problems.push(`product ${i} of a chain is of elements ${elements.join(' and ')}: ${text}`);
  }
  return problems;
}

/** Sums that are carried round a loop: for each the ways round it, as the links from the first of a turn to its last. */
export function accumulators({ values }) {
  let found = [];
  for (const phi of values.filter(({ op }) => op === 'phi'))
    for (const end of phi.args) {
      const links = [];
      let value = end;
      const passed = new Set();
      while (value && value !== phi && !passed.has(value)) {
        passed.add(value);
        if (value.op === 'fma') [value] = [value.args[2], links.unshift(value)];
        else if (value.op === 'add') {
          const next = value.args.find((arg) => leadsTo(arg, phi, new Set(passed)));
          links.unshift(value);
          value = next;
        } else if (value.op === 'phi') value = value.args.find((arg) => leadsTo(arg, phi, new Set(passed)));
        else break;
      }
      if (value !== phi || links.length === 0) continue;
      // Ways that share a link are of one sum: a loop that is written out has exits, and behind each a phi.
      const [same, others] = [true, false].map((is) =>
        found.filter((ways) => ways.some((way) => way.some((link) => links.includes(link))) === is),
      );
      found = [...others, [...same.flat(), links]];
    }
  return found;
}

function leadsTo(value, phi, passed) {
  if (value === phi) return true;
  if (passed.has(value)) return false;
  passed.add(value);
  if (value.op === 'fma') return leadsTo(value.args[2], phi, passed);
  if (value.op === 'add' || value.op === 'phi') return value.args.some((arg) => leadsTo(arg, phi, passed));
  return false;
}

/** A kernel that sums in loops: so many sums, each in one chain, term by term. */
export function checkSums(graph, { sums, quads }) {
  const problems = [];
  const found = accumulators(graph);
  if (found.length !== sums) problems.push(`${found.length} sums are carried round loops, not ${sums}`);
  for (const way of found.flat())
    for (const [i, { op, args, text }] of way.entries()) {
      const terms =
        op === 'fma' ? args.slice(0, 2) : args.filter((arg) => arg !== way[i - 1] && arg.op !== 'phi');
      if (op === 'add' && terms.some((term) => term.op === 'fma' || term.op === 'add'))
        problems.push(`a sum of sums: ${text}`);
      const elements = terms.flatMap((term) => (quads && term.op === 'load' ? [term.element % 4] : []));
      if (elements.some((element) => element !== i % 4))
        problems.push(`product ${i} of a chain is of elements ${elements.join(' and ')}: ${text}`);
    }
  // What threads add up together goes through workgroup memory, two values at a time.
  const links = new Set(found.flat(2));
  for (const written of graph.writes)
    if (written.op === 'add' && !links.has(written) && written.args.some(({ op }) => op !== 'load'))
      problems.push(`threads' sums are added by: ${written.text}`);
  return problems;
}

/** int8 scales: divided in integers, so what is stored is made by an integer instruction, or, for tiny values, by a division. */
export function checkIntegerScale({ stores }) {
  const integer = stores.some((stored) => waysTo(stored).some(({ opcode }) => INTEGER_ADDITION.test(opcode)));
  return integer ? [] : ['the scale is not divided in integers'];
}
const INTEGER_ADDITION = /^([sv]_(add|sub|lshl_add|add_lshl|add3|lshl\d_add)\w*_u32|add3? :U?D)/;

/** NF4's reciprocal: fma(near, fma(−absmax, near, 1), near). */
export function checkReciprocal({ values }) {
  const corrected = values.some(({ op, args }) => {
    if (op !== 'fma') return false;
    const [a, b, near] = args;
    const error = a === near ? b : b === near ? a : undefined;
    return error?.op === 'fma' && error.args[2].op === 'const' && error.args.slice(0, 2).includes(near);
  });
  return corrected ? [] : ['the reciprocal is not corrected by fma(near, fma(-absmax, near, 1), near)'];
}

/** int8's quotient: what is rounded is fma(rest / scale, one, near). */
export function checkQuotient({ values }, { one, codes }) {
  const rounded = values.filter(({ opcode }) => /^(v_rndne_f32|rnde)/.test(opcode ?? ''));
  const problems = rounded.length < codes ? [`${rounded.length} quotients are rounded, not ${codes}`] : [];
  for (const { args, text } of rounded)
    if (
      !waysTo(args[0]).some(({ op, args: [a, b] }) => op === 'fma' && [a, b].some((arg) => arg.word === one))
    )
      problems.push(`a quotient is not corrected by fma(_, one, near): ${text}`);
  return problems;
}

/** A value, or the values that it may be. */
function waysTo(value, seen = new Set()) {
  if (seen.has(value)) return [];
  seen.add(value);
  const chosen = value.op === 'phi' || /^(v_cndmask_b32|sel)/.test(value.opcode ?? '');
  return chosen ? value.args.flatMap((arg) => waysTo(arg, seen)) : [value];
}
