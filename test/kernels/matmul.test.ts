import { describe, expect, it, test } from 'vitest';
import { activate, add, type ElementType, matmul } from '../../src/kernels/index.ts';
import { flatten, type LinearOptions, linear, type Matrix, norm, toRows } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testGpu, testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import {
  ACTIVATION_ERROR,
  around,
  DEVICES,
  EPSILON,
  expectShapeErrors,
  framed,
  read,
  stored,
  upload,
  uploadVector,
  uploadWeight,
  uploadWindow,
} from './support.ts';

interface Case {
  readonly M: number;
  readonly K: number;
  readonly N: number;
  readonly type?: ElementType;
  readonly partRows?: readonly number[];
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly activation?: LinearOptions['activation'];
}

const CASES: readonly Case[] = [
  // Layers of BLIP at their real widths.
  { M: 577, K: 768, N: 768, bias: true },
  { M: 50, K: 768, N: 3072, bias: true, activation: 'gelu' },
  { M: 50, K: 3072, N: 768, bias: true, residual: true },
  { M: 1, K: 768, N: 1021, bias: true },
  { M: 4, K: 3072, N: 131 },
  // One, primes, and one more than a tile (12 × 16 and 8 × 128) and than four and eight features.
  { M: 1, K: 1, N: 1 },
  { M: 5, K: 1, N: 1, residual: true },
  { M: 7, K: 3, N: 129 },
  { M: 13, K: 5, N: 17, bias: true, residual: true },
  { M: 9, K: 9, N: 127 },
  { M: 12, K: 6, N: 16 },
  { M: 3, K: 31, N: 37 },
  // The half types, with features that fill no quad.
  { M: 13, K: 770, N: 129, type: 'f16', bias: true },
  { M: 13, K: 773, N: 129, type: 'bf16', bias: true },
  { M: 2, K: 769, N: 131, type: 'f16', bias: true },
  { M: 2, K: 771, N: 131, type: 'bf16', bias: true },
  // Split weights.
  { M: 13, K: 37, N: 129, partRows: [1, 60, 68], bias: true, residual: true },
  { M: 1, K: 40, N: 129, partRows: [64, 65], type: 'f16', bias: true },
];

const title = ({ type = 'f32', partRows, ...rest }: Case) =>
  [
    `[${rest.M}, ${rest.K}] × [${rest.N}, ${rest.K}] ${type}`,
    partRows ? `in parts of ${partRows}` : '',
    rest.bias ? 'bias' : '',
    rest.activation ?? '',
    rest.residual ? 'residual' : '',
  ]
    .filter(Boolean)
    .join(', ');

/** Operands and the expected result of a case, made once for all devices. */
function prepare({ M, K, N, type = 'f32', partRows, bias, residual, activation }: Case) {
  const random = new Random(M + K + N);
  const a = random.matrix(M, K);
  const w = stored(random.matrix(N, K, { spread: 0.5 }), type);
  const options: LinearOptions = {
    ...(bias ? { bias: random.vector(N) } : {}),
    ...(residual ? { residual: random.matrix(M, N) } : {}),
    ...(activation ? { activation } : {}),
  };
  let known: { expected: Float64Array; atol: Float64Array } | undefined;
  const reference = () => {
    known ??= { expected: flatten(linear(a, w, options)), atol: tolerance(a, w, options) };
    return known;
  };
  return { a, w, type, partRows, options, reference };
}

/**
 * A product is a chain of K fused multiply-adds; each rounds the partial sum once. With operands of random sign the
 * partial sum after k steps is about σ √k, so the roundings add up to a standard deviation of about
 * 0.4 · 2⁻²⁴ · K σ ≈ 0.4 · 2⁻²⁴ · ‖a‖ ‖w‖. Ten times that is allowed; for K ≤ 4 it is the strict bound
 * K · 2⁻²⁴ · Σ |a w|. A dropped or doubled product is a thousand times larger.
 * Bias and residual round once more at their own size. GELU stretches errors by at most 1.13 and has one of its own.
 */
function tolerance(a: Matrix, w: Matrix, { bias, residual, activation }: LinearOptions): Float64Array {
  const rowNorms = a.map(norm);
  const columnNorms = w.map(norm);
  const activated = activation && linear(a, w, { bias });
  const atol = rowNorms.map((rowNorm, m) =>
    columnNorms.map((columnNorm, n) => {
      const chain = EPSILON * 4 * rowNorm * columnNorm;
      const added = EPSILON * (Math.abs(bias?.[n] ?? 0) + Math.abs(residual?.[m]?.[n] ?? 0));
      const own = activated ? ACTIVATION_ERROR * Math.abs(activated[m]![n]!) : 0;
      return 1.13 * (chain + added) + own;
    }),
  );
  return flatten(atol);
}

const prepared = CASES.map((c) => [title(c), prepare(c)] as const);

const MARGINS = { left: 3, right: 6, above: 2 };

describe.each(DEVICES)('matmul on %s', (_, device) => {
  it.each(prepared)('%s', async (_title, { a, w, type, partRows, options, reference }) => {
    const work = await testWork(device);
    const { bias, residual, activation } = options;
    const result = matmul(work, upload(work, a), uploadWeight(work, w, type, partRows), {
      bias: bias && uploadVector(work, bias),
      residual: residual && upload(work, residual),
      activation,
    });
    const { expected, atol } = reference();
    expectClose(await read(work, result), expected, { atol, shape: [a.length, w.length] });
  });

  // 13 rows take the tall tile, 3 the skinny one.
  it.each([13, 3])('windows of columns as input, residual and result, %i rows', async (M) => {
    const work = await testWork(device);
    const random = new Random(M);
    const [a, w, residual] = [random.matrix(M, 37), random.matrix(53, 37), random.matrix(M, 53)];
    const out = uploadWindow(work, random.matrix(M, 53), MARGINS);
    matmul(work, uploadWindow(work, a, MARGINS), uploadWeight(work, w, 'f32', [20, 33]), {
      residual: uploadWindow(work, residual, MARGINS),
      out,
    });
    const plain = matmul(work, upload(work, a), uploadWeight(work, w), { residual: upload(work, residual) });
    const values = toRows(await read(work, plain), 53);
    expectSameBits(await read(work, around(out, MARGINS)), framed(values, MARGINS));
    expectClose(flatten(values), flatten(linear(a, w, { residual })), {
      atol: tolerance(a, w, { residual }),
    });
  });

  it.each(['none', 'gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'] as const)(
    'a fused bias, %s and residual give what single kernels give, bit for bit',
    async (activation) => {
      const work = await testWork(device);
      const random = new Random(5);
      const [M, K, N] = [13, 45, 37];
      const a = random.matrix(M, K, { spread: 2 });
      const weight = uploadWeight(work, random.matrix(N, K));
      const bias = random.vector(N);
      const residual = upload(work, random.matrix(M, N));
      const biasRows = upload(
        work,
        a.map(() => bias),
      );
      const biased = add(work, matmul(work, upload(work, a), weight), biasRows);
      const activated = activate(work, biased, activation);
      const chain = await read(work, add(work, activated, residual));
      const fused = matmul(work, upload(work, a), weight, {
        bias: uploadVector(work, bias),
        activation,
        residual,
      });
      expectSameBits(await read(work, fused), chain);
    },
  );
});

describe('shapes that do not fit', () => {
  it('are named with the weight', async () => {
    const work = await testWork();
    const random = new Random(1);
    const weight = uploadWeight(work, random.matrix(5, 8));
    const a = work.empty(3, 8, 'a');
    expectShapeErrors([
      [
        () => matmul(work, work.empty(3, 7, 'a'), weight),
        /matmul with weight \[5, 8\]: the input is \[3, 7\]/,
      ],
      [() => matmul(work, a, weight, { out: work.empty(3, 6, 'out') }), /result \[3, 6\], expected \[3, 5\]/],
      [
        () => matmul(work, a, weight, { residual: work.empty(2, 5, 'r') }),
        /residual \[2, 5\], expected \[3, 5\]/,
      ],
      [
        () => matmul(work, a, weight, { bias: uploadVector(work, [1, 2, 3]) }),
        /bias vector has 3 values, not 5/,
      ],
    ]);
  });
});

test('what one dispatch may not do is done in several, with the same bits', async () => {
  const random = new Random(9);
  const [a, weight, residual] = [random.matrix(100, 37), random.matrix(30, 37), random.matrix(100, 30)];
  const made = [];
  // A row takes 2 · 37 · 30 operations, and blocks of 8 to 16 rows are not cut.
  for (const maxDispatchFlops of [1e11, 35 * 2 * 37 * 30, 1]) {
    const gpu = await testGpu({ maxDispatchFlops });
    const before = gpu.statistics.dispatches;
    await gpu.work(async (w) => {
      const x = uploadWindow(w, a, { left: 2, right: 1, above: 1 });
      const options = { residual: upload(w, residual), activation: 'silu' } as const;
      made.push(await read(w, matmul(w, x, uploadWeight(w, weight), options)));
    });
    made.push(gpu.statistics.dispatches - before);
  }
  const [whole, one, cut, some, least, most] = made as [
    Float32Array,
    number,
    Float32Array,
    number,
    Float32Array,
    number,
  ];
  expectSameBits(cut, whole);
  expectSameBits(least, whole);
  expect(one).toBe(1);
  expect(some).toBeGreaterThanOrEqual(3);
  expect(most).toBeGreaterThan(some);
});
