// Which kernels are checked for the order of their additions, by what, and how they could be written unsafely: every unsafe kernel must
// be found out, on every compiler.
import { checkIntegerScale, checkProduct, checkQuotient, checkReciprocal, checkSums } from './checks.mjs';

/** Where the runtime 1 is among a kernel's parameters. */
const oneOf = (code) => {
  const fields = /struct Params \{([^}]*)\}/.exec(code)[1];
  return [...fields.matchAll(/(\w+):/g)].findIndex(([, name]) => name === 'one');
};

const product = {
  check: (graph, { name, code }) =>
    checkProduct(graph, {
      one: oneOf(code),
      bias: / bias\b/.test(name),
      residual: / residual\b/.test(name),
      activation: !/ none\b/.test(name),
      quads: !name.startsWith('matmul_quantized'),
    }),
};
const sums = (count, more = {}) => ({ check: (graph) => checkSums(graph, { sums: count, ...more }) });
const unsafe = (...replaced) => ({ replaced });

const TWO_SUMS = unsafe(
  [/var total = 0\.0;/, 'var total = 0.0;\n  var other = 0.0;'],
  [/total \+= (.*?);/, 'if (thread > 7u) { total += $1; } other += $1;'],
  [/reduceSum\(total, thread\)/, 'reduceSum(total + other, thread)'],
);

/** The first that fits a kernel's name counts. */
export const RULES = [
  {
    kernels: /^matmul_(row|tile|quantized|quantized_row) /,
    ...product,
    unsafe: {
      'a residual added by +': unsafe([/fma\(value, params\.one, (R\[.*\])\)/, 'value + $1']),
      'a bias added by +': unsafe([/fma\(value, params\.one, (bias\[column\])\)/, 'value + $1']),
      'chains summed by +': unsafe([/fma\(([^(),]+), params\.one, (total\w*)\)/g, '($1 + $2)']),
      'a chain from its end': unsafe([
        /fma\((a\w*)\.w, (b\w*)\.w, fma\(\1\.z, \2\.z, fma\(\1\.y, \2\.y, fma\(\1\.x, \2\.x, (\w+)\)\)\)\)/g,
        'fma($1.x, $2.x, fma($1.y, $2.y, fma($1.z, $2.z, fma($1.w, $2.w, $3))))',
      ]),
    },
  },
  {
    kernels: /^layer_norm$/,
    ...sums(2),
    unsafe: {
      'two sums': TWO_SUMS,
    },
  },
  { kernels: /^rms_norm$/, ...sums(1) },
  {
    kernels: /^(attention_softmax workgroup 64|log_sum_exp workgroup 64)$/,
    ...sums(1),
    unsafe: {
      'two sums': TWO_SUMS,
    },
  },
  {
    kernels: /^metric$/,
    ...sums(1),
    unsafe: {
      'two sums': TWO_SUMS,
    },
  },
  ...[1, 8].flatMap((rows) => [
    {
      kernels: new RegExp(`^attention_scores_tile ${rows} vec4$`),
      ...sums(rows, { quads: true }),
      unsafe: {
        'a chain from its end': unsafe([
          /fma\(a\.w, b\.w, fma\(a\.z, b\.z, fma\(a\.y, b\.y, fma\(a\.x, b\.x, (\w+)\)\)\)\)/g,
          'fma(a.x, b.x, fma(a.y, b.y, fma(a.z, b.z, fma(a.w, b.w, $1))))',
        ]),
      },
    },
    {
      kernels: new RegExp(`^attention_values ${rows}x32 vec4( step 16)?$`),
      ...sums(2 * 4 * rows),
      unsafe: {
        'two sums': unsafe(
          [/var s0 = vec4f\(\);/, 'var s0 = vec4f();\n  var other = vec4f();'],
          [/s0 = fma\((vec4f\(P\[p0 \+ j \+ 1u\]\)), v1, s0\)/, 'other = fma($1, v1, other)'],
          [/finish\(s0,/, 'finish(s0 + other,'],
        ),
      },
    },
  ]),
  {
    kernels: /^quantize_scales int8 /,
    check: checkIntegerScale,
    unsafe: {
      'a division corrected in floats': unsafe([
        /scaleOf\(absmax\);/,
        'absmax / 127.0 + ((absmax - 128.0 * (absmax / 127.0)) + absmax / 127.0) / 127.0;',
      ]),
    },
  },
  {
    kernels: /^quantize_codes nf4 /,
    check: checkReciprocal,
    unsafe: {
      'a plain reciprocal': unsafe([/fma\(near, fma\(-absmax, near, 1\.0\), near\)/, 'near']),
    },
  },
  {
    kernels: /^quantize_codes int8 /,
    check: (graph, { code }) => checkQuotient(graph, { one: oneOf(code), codes: 4 }),
    unsafe: { 'a plain quotient': unsafe([/return fma\(fma\(-near.*;/, 'return near;']) },
  },
];

/** Of the products those with all types, tiles and epilogues that are chosen by default. */
export const ruleOf = (name) => RULES.find(({ kernels }) => kernels.test(name));

/** A kernel written unsafely. @returns undefined where its text has no such place */
export function unsafely(kernel, { replaced }) {
  let { code } = kernel;
  for (const [pattern, text] of replaced) {
    const next = code.replace(pattern, text);
    if (next === code) return undefined;
    code = next;
  }
  return { ...kernel, code };
}
