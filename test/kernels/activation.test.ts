import { describe, it } from 'vitest';
import { columnsOf } from '../../src/gpu/index.ts';
import { activate, activationBackward, add } from '../../src/kernels/index.ts';
import * as reference from '../reference/index.ts';
import { flatten } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { ACTIVATION_ERROR, DEVICES, expectShapeErrors, read, upload } from './support.ts';

/** −20 to 20 in small steps, with sizes where exp(−x) over- and underflows. */
const X = [
  Float32Array.of(
    ...Array.from({ length: 4001 }, (_, i) => (i - 2000) / 100),
    ...[1e-30, 50, 88.5, 100, 1000, 1e20].flatMap((x) => [x, -x]),
  ),
];
const SHAPES = [
  [1, 1],
  [13, 37],
  [5, 64],
  [1, 65],
  [577, 48],
] as const;

describe.each(DEVICES)('on %s', (_, device) => {
  it.each(['none', 'gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'] as const)(
    '%s is as in PyTorch',
    async (activation) => {
      const w = await testWork(device);
      const actual = await read(w, activate(w, upload(w, X), activation));
      const atol = Array.from(X[0]!, (x) => ACTIVATION_ERROR * Math.abs(x));
      expectClose(actual, flatten(reference.activate(X, activation)), { atol });
    },
  );

  it.each(['none', 'gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'] as const)(
    'what comes back through %s',
    async (activation) => {
      const w = await testWork(device);
      const gradient = new Random(1).matrix(1, X[0]!.length);
      const actual = await read(w, activationBackward(w, upload(w, X), activation, upload(w, gradient)));
      const expected = Array.from(X[0]!, (x, i) => gradient[0]![i]! * reference.slope(activation, x));
      // x · s · (1 − s): 1 − s is exact to an ulp of 1, so the product to x of them, as long as it is not 0.
      const atol = Array.from(X[0]!, (x, i) => {
        const size = Math.min(Math.abs(x), 20);
        return ACTIVATION_ERROR * (1 + size) * Math.abs(gradient[0]![i]!);
      });
      expectClose(actual, expected, { atol });
    },
  );

  it.each([{ scale: 45.25 }, { scale: 1, cap: 30 }, { scale: 0.0625, cap: 50 }])('%o', async (scaling) => {
    const w = await testWork(device);
    const actual = await read(w, activate(w, upload(w, X), scaling));
    const expected = flatten(reference.activate(X, scaling));
    // Small values keep their digits: the cap leaves them as they are.
    expectClose(actual, expected, { rtol: 4e-7 });
  });

  it.each(SHAPES)('silu(x) · gate and x + residual of [%i, %i]', async (rows, columns) => {
    const w = await testWork(device);
    const random = new Random(rows);
    const x = random.matrix(rows, columns, { spread: 8 });
    const y = random.matrix(rows, columns, { spread: 3 });
    const gated = activate(w, upload(w, x), 'silu', upload(w, y));
    const total = add(w, upload(w, x), upload(w, y));
    const atol = flatten(reference.activate(x, 'none', y)).map(
      (product) => ACTIVATION_ERROR * Math.abs(product),
    );
    expectClose(await read(w, gated), flatten(reference.activate(x, 'silu', y)), { atol });
    // A sum of two f32 is rounded once, which f64 rounded to f32 is too.
    expectSameBits(await read(w, total), Float32Array.from(flatten(reference.add(x, y))));
  });
});

describe('shapes that do not fit', () => {
  it('are named', async () => {
    const w = await testWork();
    const x = w.empty(4, 6, 'x');
    const y = w.empty(4, 5, 'y');
    expectShapeErrors([
      [() => add(w, x, y), /add: shapes \[4, 6\] and \[4, 5\] differ/],
      [() => activate(w, x, 'silu', y), /activation: shapes \[4, 6\] and \[4, 5\] differ/],
      [() => activationBackward(w, x, 'gelu', y), /\[4, 5\] at \[4, 6\]/],
      [() => activate(w, columnsOf(x, 0, 5), 'gelu'), /contiguous rows.*\[4, 5\]/],
    ]);
  });
});
