// Single kernels: a product of matrices, attention and LayerNorm at the shapes that BLIP-VQA-base has, and on request
// beside ONNX Runtime.

import { columnsOf } from '../dist/gpu/index.js';
import {
  attentionScores,
  attentionSoftmax,
  attentionValues,
  matmul,
  normalize,
  planAttention,
  releasePlan,
  uploadPlan,
} from '../dist/kernels/index.js';
import { f32ToBf16, f32ToF16 } from '../dist/weights/index.js';
import { alternate, checkSample, median, randomValues, ratio } from './measure.mjs';
import { attentionModel, matmulModel } from './onnx-graph.mjs';
import { onnxSession } from './onnx-runtime.mjs';

/** [M, K] × [N, K]: where each stands in BLIP-VQA-base. */
const PRODUCTS = [
  { m: 577, k: 768, n: 768 }, // an image's positions through attention's output
  { m: 577, k: 768, n: 3072 }, // … through the MLP
  { m: 144, k: 768, n: 768 }, // 144 patched rows
  { m: 12, k: 768, n: 768 }, // a prompt
  { m: 4, k: 768, n: 768 },
  { m: 1, k: 768, n: 30524 }, // the answer's logits
  { m: 64, k: 128, n: 128 }, // so small that overheads decide
];
const HALF_PRODUCTS = [PRODUCTS[0], PRODUCTS[3], PRODUCTS[5]];
const ENCODE = { f32: (values) => values, f16: f32ToF16, bf16: f32ToBf16 };

/** Dispatches in one submission: enough that a GPU's time is not that of the submission. */
const chainLength = (work) => (work.capabilities.software ? 1 : 100);

/**
 * @param {{ rounds: number, onnx: boolean, peak: { flops: number, bytes: number }, only?: RegExp, log: (line: string) => void }} options
 * @returns {Promise<object[]>} one result per case
 */
export async function benchKernels(gpu, options) {
  const cases = [
    ...PRODUCTS.map((shape) => productCase(shape, 'f32')),
    ...['f16', 'bf16'].flatMap((type) => HALF_PRODUCTS.map((shape) => productCase(shape, type))),
    attentionCase({ positions: 577, heads: 12, headSize: 64 }),
    attentionCase({ positions: 144, heads: 12, headSize: 64 }),
    normCase({ rows: 577, columns: 768 }),
  ].filter(({ name }) => !options.only || options.only.test(name));
  const results = [];
  for (const one of cases) {
    const result = await gpu.work((work) => measure(work, one, options));
    options.log(kernelLine(result));
    results.push(result);
  }
  return results;
}

async function measure(work, { name, flops, bytes, prepare }, { rounds, onnx, peak }) {
  const { run, check, fromHost, onnxModel, onnxInputs } = prepare(work);
  await check();
  const chain = chainLength(work);
  const contenders = [
    {
      name: 'kernel',
      run: () => {
        for (let i = 0; i < chain; i++) run();
        return work.finish();
      },
    },
  ];
  if (onnx && onnxModel) {
    const session = await onnxSession(onnxModel());
    const [output] = Object.values(await session(onnxInputs));
    await check(output);
    // From host memory to host memory, both of them.
    contenders.push({ name: 'end to end', run: fromHost }, { name: 'onnx', run: () => session(onnxInputs) });
  }
  const times = await alternate(contenders, { rounds });
  const kernel = median(times.get('kernel').wall) / chain;
  const rate = flops ? { flops: (1000 * flops) / kernel } : { bytes: (1000 * bytes) / kernel };
  const share = flops ? rate.flops / peak.flops : rate.bytes / peak.bytes;
  return {
    name,
    ms: kernel,
    msMin: Math.min(...times.get('kernel').wall) / chain,
    cpuMs: median(times.get('kernel').cpu) / chain,
    ...rate,
    share,
    ...(contenders.length > 1
      ? {
          endToEndMs: median(times.get('end to end').wall),
          onnxMs: median(times.get('onnx').wall),
          ratio: ratio(times.get('onnx'), times.get('end to end')),
          residentRatio: ratio(times.get('onnx'), times.get('kernel')),
        }
      : {}),
  };
}

function productCase({ m, k, n }, type) {
  const prepare = (work) => {
    const x = randomValues(m * k, 1);
    const w = randomValues(n * k, 2);
    const a = work.upload(x, m, k, 'a');
    const stored = ENCODE[type](w);
    const buffer = work.uploadWords(new Uint32Array(stored.buffer, 0, stored.byteLength / 4), 'w');
    const parts = [{ buffer, firstRow: 0, rows: n }];
    const weight = { name: 'w', type, rows: n, columns: k, stride: k, parts };
    const out = work.empty(m, n, 'out');
    const run = () => matmul(work, a, weight, { out });
    // Half types are off by their own rounding of the weights, 2⁻¹¹ and 2⁻⁸ of at most 0.5; √K such products of size 0.5 add up.
    const rounding = { f32: 2 ** -21, f16: 2 ** -12, bf16: 2 ** -9 }[type];
    const expected = (i) => {
      const [row, column] = [Math.floor(i / n) * k, (i % n) * k];
      let sum = 0;
      for (let j = 0; j < k; j++) sum += x[row + j] * w[column + j];
      return sum;
    };
    return {
      run,
      check: async (values) => {
        if (!values) run();
        const [own] = values ? [values] : await work.read(out);
        checkSample(`matmul ${type}`, own, expected, { tolerance: 4 * rounding * Math.sqrt(k) });
      },
      fromHost: async () => {
        const input = work.upload(x, m, k, 'a');
        const result = matmul(work, input, weight);
        await work.read(result);
        work.release(input, result);
      },
      ...(type === 'f32'
        ? { onnxModel: () => matmulModel({ m, k, n }, w), onnxInputs: { a: [x, [m, k]] } }
        : {}),
    };
  };
  return { name: `matmul ${m} × ${k} × ${n} ${type}`, flops: 2 * m * k * n, prepare };
}

function attentionCase({ positions, heads, headSize }) {
  const width = heads * headSize;
  const shape = { heads, keyHeads: heads, headSize };
  const keys = Uint32Array.from({ length: positions }, (_, p) => p);
  const queries = Array.from(keys, (p) => ({ query: p, out: p, keys: positions }));
  const prepare = (work) => {
    // Rows of [q | k | v], as the fused projection makes them.
    const qkv = randomValues(3 * positions * width, 3).map((value) => 4 * value);
    const plan = planAttention([{ keys, queries }], heads, Number.POSITIVE_INFINITY);
    const attend = (tensor, z) => {
      const tables = uploadPlan(work, plan);
      const [q, k, v] = [0, 1, 2].map((part) => columnsOf(tensor, part * width, width));
      for (const chunk of plan.chunks) {
        const scores = attentionScores(work, q, k, shape, tables, chunk);
        attentionSoftmax(work, scores, heads, tables, chunk);
        attentionValues(work, scores, v, z, shape, tables, chunk);
        work.release(scores);
      }
      releasePlan(work, tables);
    };
    const input = work.upload(qkv, positions, 3 * width, 'qkv');
    const z = work.empty(positions, width, 'z');
    const value = (part, p, c) => qkv[3 * p * width + part * width + c];
    const expected = (i) => {
      const [p, column] = [Math.floor(i / width), i % width];
      const head = column - (column % headSize);
      const scores = Array.from(keys, (j) => {
        let sum = 0;
        for (let d = 0; d < headSize; d++) sum += value(0, p, head + d) * value(1, j, head + d);
        return Math.exp(sum / Math.sqrt(headSize));
      });
      const total = scores.reduce((sum, score) => sum + score, 0);
      return scores.reduce((sum, score, j) => sum + (score / total) * value(2, j, column), 0);
    };
    // ONNX's layout is [1, heads, positions, d_head].
    const part = (which) =>
      Float32Array.from({ length: positions * width }, (_, i) => {
        const [h, rest] = [Math.floor(i / (positions * headSize)), i % (positions * headSize)];
        return value(which, Math.floor(rest / headSize), h * headSize + (rest % headSize));
      });
    const dims = [1, heads, positions, headSize];
    return {
      run: () => attend(input, z),
      check: async (values) => {
        if (!values) attend(input, z);
        const [own] = values ? [] : await work.read(z);
        const back = (i) => {
          const [p, column] = [Math.floor(i / width), i % width];
          return values[(Math.floor(column / headSize) * positions + p) * headSize + (column % headSize)];
        };
        const rows = own ?? Float32Array.from({ length: positions * width }, (_, i) => back(i));
        checkSample('attention', rows, expected, { tolerance: 1e-5, count: 60 });
      },
      fromHost: async () => {
        const tensor = work.upload(qkv, positions, 3 * width, 'qkv');
        const result = work.empty(positions, width, 'z');
        attend(tensor, result);
        await work.read(result);
        work.release(tensor, result);
      },
      onnxModel: () => attentionModel({ heads, positions, headSize }),
      get onnxInputs() {
        return Object.fromEntries(['q', 'k', 'v'].map((name, i) => [name, [part(i), dims]]));
      },
    };
  };
  return {
    name: `attention ${heads} × ${positions} × ${positions} × ${headSize}`,
    flops: 4 * positions ** 2 * width,
    prepare,
  };
}

function normCase({ rows, columns }) {
  const prepare = (work) => {
    const values = randomValues(rows * columns, 4);
    const x = work.upload(values, rows, columns, 'x');
    const vector = (constant) => {
      const filled = new Float32Array(columns).fill(constant);
      return { name: 'vector', length: columns, buffer: work.uploadWords(filled, 'vector') };
    };
    const weights = { scale: vector(1), shift: vector(0), eps: 1e-5 };
    const run = () => work.release(normalize(work, x, weights));
    const expected = (i) => {
      const row = values.subarray(i - (i % columns), i - (i % columns) + columns);
      const mean = row.reduce((sum, value) => sum + value, 0) / columns;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns;
      return (values[i] - mean) / Math.sqrt(variance + 1e-5);
    };
    return {
      run,
      check: async () => {
        const result = normalize(work, x, weights);
        const [own] = await work.read(result);
        checkSample('layer norm', own, expected, { tolerance: 1e-5 });
      },
    };
  };
  return { name: `layer norm ${rows} × ${columns}`, bytes: 8 * rows * columns, prepare };
}

function kernelLine({ name, ms, flops, bytes, share, onnxMs, endToEndMs, ratio: onnxRatio, residentRatio }) {
  const rate = flops ? `${(flops / 1e9).toPrecision(3)} GFLOP/s` : `${(bytes / 1e9).toPrecision(3)} GB/s`;
  const own = `${name.padEnd(32)} ${ms.toFixed(3).padStart(10)} ms  ${rate.padStart(14)}  ${(100 * share).toFixed(0).padStart(3)} % of peak`;
  if (!onnxMs) return own;
  const rounds = onnxRatio.rounds.map((value) => value.toFixed(1)).join(', ');
  return `${own}   end to end ${endToEndMs.toFixed(2)} ms, ONNX Runtime ${onnxMs.toFixed(1)} ms: ${onnxRatio.median.toFixed(1)} times (${rounds}; by CPU time ${onnxRatio.cpu.toFixed(1)}; with data on the device ${residentRatio.median.toFixed(1)})`;
}
