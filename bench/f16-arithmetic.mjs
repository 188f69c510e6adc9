// What arithmetic in f16 (shader-f16) costs in exactness: a product whose chains of fma are in f16, in lengths that kernels could have,
// summed up in f32, beside the library's f32 kernels and f64. No kernel of the library computes in f16: this says why.
//
//   node bench/f16-arithmetic.mjs [--adapter software] [--json FILE]
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { matmul } from '../dist/kernels/index.js';
import { openGpu } from '../dist/platform/node/adapter.js';
import { f32ToF16 } from '../dist/weights/index.js';
import { describeMachine, machineLine } from './machine.mjs';
import { randomValues } from './measure.mjs';

const { values: options } = parseArgs({
  options: { adapter: { type: 'string', default: 'auto' }, json: { type: 'string' } },
});

/** Lengths of a chain in f16. */
const CHAINS = [4, 8, 16, 32, 128];
const ROWS = 8;
const COLUMNS = 256;

/** C[m, n] with one thread for each value; A [M, K] f32, W [N, K] f16, two in a word. */
const kernel = (chain) => ({
  name: `f16 chains of ${chain}`,
  code: `
    struct Params { N: u32, K: u32 }
    @group(0) @binding(0) var<storage, read> A: array<f32>;
    @group(0) @binding(1) var<storage, read> W: array<u32>;
    @group(0) @binding(2) var<storage, read_write> C: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      let m = id.x / params.N;
      let n = id.x % params.N;
      var total = 0.0;
      for (var first = 0u; first < params.K; first += ${chain}u) {
        var s = f16(0);
        for (var k = first; k < first + ${chain}u; k++) {
          let a = f16(A[m * params.K + k]);
          let w = f16(unpack2x16float(W[(n * params.K + k) / 2u])[k % 2u]);
          s = fma(a, w, s);
        }
        total += f32(s);
      }
      C[id.x] = total;
    }`,
  bindings: { A: 'read', W: 'read', C: 'read_write' },
  params: { N: 'u32', K: 'u32' },
  enable: ['f16'],
});

const gpu = await openGpu({ adapter: options.adapter });
const machine = describeMachine(gpu);
console.log(machineLine(machine));
if (!gpu.capabilities.features.has('shader-f16')) {
  console.log('This adapter has no shader-f16.');
  process.exit(0);
}
const results = [];
for (const K of [768, 3072, 4096]) {
  const a = randomValues(ROWS * K, 1);
  const stored = f32ToF16(randomValues(COLUMNS * K, 2));
  const w16 = Float32Array.from(stored, halfToFloat);
  const exact = Float64Array.from({ length: ROWS * COLUMNS }, (_, i) => {
    const [row, column] = [Math.floor(i / COLUMNS) * K, (i % COLUMNS) * K];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += a[row + k] * w16[column + k];
    return sum;
  });
  const largest = exact.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const errorOf = (values) =>
    values.reduce((most, value, i) => Math.max(most, Math.abs(value - exact[i])), 0) / largest;
  await gpu.work(async (w) => {
    const x = w.upload(a, ROWS, K, 'a');
    const buffer = w.uploadWords(new Uint32Array(stored.buffer, 0, stored.byteLength / 4), 'w');
    const parts = [{ buffer, firstRow: 0, rows: COLUMNS }];
    const weight = { name: 'w', type: 'f16', rows: COLUMNS, columns: K, stride: K, parts };
    const [usual] = await w.read(matmul(w, x, weight));
    // On the host: compilers drop a conversion to f16 and back.
    const x16 = w.upload(Float32Array.from(f32ToF16(a), halfToFloat), ROWS, K, 'a in f16');
    const [rounded] = await w.read(matmul(w, x16, weight));
    const row = { K, f32: errorOf(usual), 'inputs in f16, arithmetic in f32': errorOf(rounded) };
    for (const chain of CHAINS) {
      const out = w.empty(ROWS, COLUMNS, 'out');
      const buffers = { A: x.buffer, W: buffer, C: out.buffer };
      w.dispatch(kernel(chain), buffers, { N: COLUMNS, K }, [(ROWS * COLUMNS) / 64, 1, 1]);
      const [values] = await w.read(out);
      row[`chains of ${chain}`] = errorOf(values);
    }
    results.push(row);
  });
}
console.log('largest error as a part of the largest value; weights f16, inputs uniform in ±0.5');
for (const { K, ...errors } of results)
  console.log(
    `K = ${K}: ${Object.entries(errors)
      .map(([name, error]) => `${name} ${error.toExponential(1)}`)
      .join(', ')}`,
  );
if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, results }, null, 2)}\n`);
gpu.destroy();

function halfToFloat(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -size : size;
}
