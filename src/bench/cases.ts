// What kernels are timed at: matrix products, attention and LayerNorm at the shapes that BLIP-VQA-base has. Each case can
// check its own result.

import { columnsOf, type Tensor, type Work } from '../gpu/index.ts';
import {
  type AttentionShape,
  attentionScores,
  attentionSoftmax,
  attentionValues,
  type ElementType,
  matmul,
  normalize,
  planAttention,
  releasePlan,
  uploadPlan,
  type Weight,
} from '../kernels/index.ts';
import { f32ToBf16, f32ToF16 } from '../weights/index.ts';
import { checkSample, randomValues } from './measure.ts';

export interface KernelCase {
  readonly name: string;
  /** What a run does: floating-point operations, or of a kernel that only moves data bytes. */
  readonly amount: { readonly flops: number } | { readonly bytes: number };
  prepare(w: Work): PreparedCase;
}

export interface PreparedCase {
  /** Records one run. */
  run(): void;
  /**
   * @param values another implementation's result, in place of our own
   * @throws NoticeError('control') for a wrong result
   */
  check(values?: Float32Array): Promise<void>;
  /** From host memory to host memory, as other runtimes take it; left out where nobody compares. */
  fromHost?(): Promise<void>;
  /** What others have to compute the same of. */
  readonly host?: HostInputs;
}

export type HostInputs =
  | {
      readonly kind: 'product';
      readonly m: number;
      readonly k: number;
      readonly n: number;
      /** [m, k] and [n, k] */
      readonly x: Float32Array;
      readonly weight: Float32Array;
    }
  | {
      readonly kind: 'attention';
      readonly heads: number;
      readonly positions: number;
      readonly headSize: number;
      /** [positions, 3 · heads · headSize]: rows of q, k, v. */
      readonly qkv: Float32Array;
    };

interface ProductShape {
  readonly m: number;
  readonly k: number;
  readonly n: number;
}

const IMAGE: ProductShape = { m: 577, k: 768, n: 768 }; // an image's positions through attention's output
const PROMPT: ProductShape = { m: 12, k: 768, n: 768 };
const LOGITS: ProductShape = { m: 1, k: 768, n: 30524 }; // the answer's
/** [M, K] × [N, K]: where each stands in BLIP-VQA-base. */
const PRODUCTS: readonly ProductShape[] = [
  IMAGE,
  { m: 577, k: 768, n: 3072 }, // … through the MLP
  { m: 144, k: 768, n: 768 }, // 144 patched rows
  PROMPT,
  { m: 4, k: 768, n: 768 },
  LOGITS,
  { m: 64, k: 128, n: 128 }, // so small that overheads decide
];
const ENCODE: Readonly<Record<ElementType, (values: Float32Array) => Float32Array | Uint16Array>> = {
  f32: (values) => values,
  f16: f32ToF16,
  bf16: f32ToBf16,
};

/** A weight [rows, columns] in a storage type; `columns` is a multiple of 4. */
export function storedAs(
  w: Work,
  type: ElementType,
  values: Float32Array,
  rows: number,
  columns: number,
): Weight {
  const stored = ENCODE[type](values);
  const buffer = w.uploadWords(new Uint32Array(stored.buffer, 0, stored.byteLength / 4), 'w');
  return { name: 'w', type, rows, columns, stride: columns, parts: [{ buffer, firstRow: 0, rows }] };
}

export function kernelCases(): KernelCase[] {
  return [
    ...PRODUCTS.map((shape) => productCase(shape, 'f32')),
    ...(['f16', 'bf16'] as const).flatMap((type) =>
      [IMAGE, PROMPT, LOGITS].map((shape) => productCase(shape, type)),
    ),
    attentionCase(577, 12, 64),
    attentionCase(144, 12, 64),
    normCase(577, 768),
  ];
}

function productCase({ m, k, n }: ProductShape, type: ElementType): KernelCase {
  const prepare = (work: Work): PreparedCase => {
    const x = randomValues(m * k, 1);
    const w = randomValues(n * k, 2);
    const a = work.upload(x, m, k, 'a');
    const weight = storedAs(work, type, w, n, k);
    const out = work.empty(m, n, 'out');
    const run = () => {
      matmul(work, a, weight, { out });
    };
    // Half types are off by their own rounding of the weights, 2⁻¹¹ and 2⁻⁸ of at most 0.5; √K such products of size 0.5 add up.
    const rounding = { f32: 2 ** -21, f16: 2 ** -12, bf16: 2 ** -9 }[type];
    const expected = (i: number) => {
      const [row, column] = [Math.floor(i / n) * k, (i % n) * k];
      let sum = 0;
      for (let j = 0; j < k; j++) sum += (x[row + j] as number) * (w[column + j] as number);
      return sum;
    };
    return {
      run,
      check: async (values) => {
        if (!values) run();
        const [own] = values ? [values] : await work.read(out);
        checkSample(`matmul ${type}`, own as Float32Array, expected, {
          tolerance: 4 * rounding * Math.sqrt(k),
        });
      },
      fromHost: async () => {
        const input = work.upload(x, m, k, 'a');
        const result = matmul(work, input, weight);
        await work.read(result);
        work.release(input, result);
      },
      ...(type === 'f32' && { host: { kind: 'product', m, k, n, x, weight: w } }),
    };
  };
  return { name: `matmul ${m} × ${k} × ${n} ${type}`, amount: { flops: 2 * m * k * n }, prepare };
}

function attentionCase(positions: number, heads: number, headSize: number): KernelCase {
  const width = heads * headSize;
  const shape: AttentionShape = { heads, keyHeads: heads, headSize };
  const keys = Uint32Array.from({ length: positions }, (_, p) => p);
  const queries = Array.from(keys, (p) => ({ query: p, out: p, keys: positions }));
  const prepare = (work: Work): PreparedCase => {
    // Rows of [q | k | v], as the fused projection makes them.
    const qkv = randomValues(3 * positions * width, 3).map((value) => 4 * value);
    const plan = planAttention([{ keys, queries }], heads, Number.POSITIVE_INFINITY);
    const attend = (tensor: Tensor, z: Tensor) => {
      const tables = uploadPlan(work, plan);
      const part = (index: number) => columnsOf(tensor, index * width, width);
      for (const chunk of plan.chunks) {
        const scores = attentionScores(work, part(0), part(1), shape, tables, chunk);
        attentionSoftmax(work, scores, heads, tables, chunk);
        attentionValues(work, scores, part(2), z, shape, tables, chunk);
        work.release(scores);
      }
      releasePlan(work, tables);
    };
    const input = work.upload(qkv, positions, 3 * width, 'qkv');
    const z = work.empty(positions, width, 'z');
    const value = (part: number, p: number, c: number) => qkv[3 * p * width + part * width + c] as number;
    const expected = (i: number) => {
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
    /** The element that another runtime's layout [1, heads, positions, d_head] has at place `i` of ours. */
    const placeOf = (i: number) => {
      const [p, column] = [Math.floor(i / width), i % width];
      return (Math.floor(column / headSize) * positions + p) * headSize + (column % headSize);
    };
    return {
      run: () => attend(input, z),
      check: async (values) => {
        if (!values) attend(input, z);
        const [own] = values ? [] : await work.read(z);
        const rows =
          own ?? Float32Array.from({ length: positions * width }, (_, i) => values?.[placeOf(i)] as number);
        checkSample('attention', rows, expected, { tolerance: 1e-5, count: 60 });
      },
      fromHost: async () => {
        const tensor = work.upload(qkv, positions, 3 * width, 'qkv');
        const result = work.empty(positions, width, 'z');
        attend(tensor, result);
        await work.read(result);
        work.release(tensor, result);
      },
      host: { kind: 'attention', heads, positions, headSize, qkv },
    };
  };
  return {
    name: `attention ${heads} × ${positions} × ${positions} × ${headSize}`,
    amount: { flops: 4 * positions ** 2 * width },
    prepare,
  };
}

function normCase(rows: number, columns: number): KernelCase {
  const prepare = (work: Work): PreparedCase => {
    const values = randomValues(rows * columns, 4);
    const x = work.upload(values, rows, columns, 'x');
    const vector = (constant: number) => {
      const filled = new Float32Array(columns).fill(constant);
      return { name: 'vector', length: columns, buffer: work.uploadWords(filled, 'vector') };
    };
    const weights = { scale: vector(1), shift: vector(0), eps: 1e-5 };
    const expected = (i: number) => {
      const row = values.subarray(i - (i % columns), i - (i % columns) + columns);
      const mean = row.reduce((sum, value) => sum + value, 0) / columns;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / columns;
      return ((values[i] as number) - mean) / Math.sqrt(variance + 1e-5);
    };
    return {
      run: () => work.release(normalize(work, x, weights)),
      check: async () => {
        const result = normalize(work, x, weights);
        const [own] = await work.read(result);
        checkSample('layer norm', own as Float32Array, expected, { tolerance: 1e-5 });
        work.release(result);
      },
    };
  };
  return { name: `layer norm ${rows} × ${columns}`, amount: { bytes: 8 * rows * columns }, prepare };
}
