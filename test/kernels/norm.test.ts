import { describe, it } from 'vitest';
import { rowsOf } from '../../src/gpu/index.ts';
import { normalize, normalizeFrozen, normalizeHeads } from '../../src/kernels/index.ts';
import { flatten, layerNorm, type Matrix, mean, rmsNorm, toRows } from '../reference/index.ts';
import { expectClose } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import {
  around,
  DEVICES,
  EPSILON,
  expectShapeErrors,
  framed,
  read,
  upload,
  uploadVector,
  uploadWindow,
} from './support.ts';

const SHAPES = [
  [577, 768],
  [5, 3072],
  [13, 40],
  [3, 65],
  [2, 4097],
  [1, 1],
] as const;

/**
 * Each of at least four threads adds C / 4 values in turn, and rounding errors of growing partial sums add up to a
 * standard deviation of about 2⁻²⁴ · √(C / 4) / 3 of the total; six times that is 2⁻²⁴ · √C. The mean's error (relative
 * to mean |x|) shifts the whole row, the variance's stretches it, and the last steps round about eight times.
 */
function tolerance(x: Matrix, normalized: Matrix, scale: ArrayLike<number>, shift: ArrayLike<number>) {
  return flatten(
    x.map((row, r) => {
      const centre = mean(row);
      const deviation = Math.sqrt(mean(Array.from(row, (value) => (value - centre) ** 2)) + 1e-5);
      const meanError = (Math.sqrt(row.length) * mean(Array.from(row, Math.abs))) / deviation;
      return Array.from(row, (_, c) => {
        const stretched = Math.abs(normalized[r]![c]! - shift[c]!) * (Math.sqrt(row.length) + 8);
        return EPSILON * (Math.abs(scale[c]!) * meanError + stretched + 2 * Math.abs(shift[c]!));
      });
    }),
  );
}

describe.each(DEVICES)('on %s', (_, device) => {
  // Rows of ViT can lie far from zero compared with their spread.
  it.each([0, 100])('LayerNorm of rows around %f', async (centre) => {
    const w = await testWork(device);
    for (const [rows, columns] of SHAPES) {
      const random = new Random(columns);
      const x = random.matrix(rows, columns, { centre });
      const [scale, shift] = [random.vector(columns), random.vector(columns)];
      const weights = { scale: uploadVector(w, scale), shift: uploadVector(w, shift), eps: 1e-5 };
      const expected = layerNorm(x, scale, shift, 1e-5);
      expectClose(await read(w, normalize(w, upload(w, x), weights)), flatten(expected), {
        atol: tolerance(x, expected, scale, shift),
        shape: [rows, columns],
      });
    }
  });

  it('RMSNorm', async () => {
    const w = await testWork(device);
    for (const [rows, columns] of SHAPES) {
      const random = new Random(columns);
      const x = random.matrix(rows, columns, { spread: 3 });
      const scale = random.vector(columns);
      const actual = normalize(w, upload(w, x), { scale: uploadVector(w, scale), eps: 1e-6 });
      expectClose(await read(w, actual), flatten(rmsNorm(x, scale, 1e-6)), {
        rtol: EPSILON * (Math.sqrt(columns) + 8), // as above, without a mean
        shape: [rows, columns],
      });
    }
  });

  it.each(['LayerNorm', 'RMSNorm'] as const)('%s held at a row: its parts add up to it', async (kind) => {
    const w = await testWork(device);
    for (const [, columns] of SHAPES) {
      const random = new Random(columns);
      // Row 0 stands before the window, the last behind it: they stay.
      const x = random.matrix(7, columns, { centre: 1 });
      const parts = x.slice(1, 6);
      const whole = Float32Array.from({ length: columns }, (_, c) =>
        parts.reduce((sum, row) => sum + row[c]!, 0),
      );
      const scale = random.vector(columns);
      const shift = kind === 'LayerNorm' ? new Float32Array(columns) : undefined;
      const weights = {
        scale: uploadVector(w, scale),
        ...(shift && { shift: uploadVector(w, random.vector(columns)) }),
        eps: 1e-5,
      };
      const tensor = upload(w, x);
      const at = rowsOf(upload(w, [random.vector(columns), whole]), 1, 1);
      normalizeFrozen(w, tensor, { first: 1, count: 5 }, at, weights);
      const rows = toRows(await read(w, tensor), columns);
      const [normalized] = shift ? layerNorm([whole], scale, shift, 1e-5) : rmsNorm([whole], scale, 1e-5);
      const sum = Array.from(whole, (_, c) => rows.slice(1, 6).reduce((total, row) => total + row[c]!, 0));
      const largest = Math.max(...rows.flatMap((row) => Array.from(row, Math.abs)));
      // Five rows, each rounded as one of a norm.
      const atol = 5 * EPSILON * largest * (Math.sqrt(columns) + 8);
      expectClose(sum, normalized!, { atol, shape: [1, columns] });
      expectClose([...rows[0]!, ...rows[6]!], [...x[0]!, ...x[6]!], { atol: 0 });
    }
  });

  it('RMSNorm of every head of a window, and of nothing beside it', async () => {
    const w = await testWork(device);
    const margins = { left: 3, right: 5, above: 1 };
    for (const [rows, heads, headSize] of [
      [31, 4, 128],
      [5, 3, 10],
      [1, 1, 1],
    ] as const) {
      const random = new Random(headSize);
      const x = random.matrix(rows, heads * headSize, { spread: 3 });
      const scale = random.vector(headSize);
      const window = uploadWindow(w, x, margins);
      normalizeHeads(w, window, heads, { scale: uploadVector(w, scale), eps: 1e-6 });
      const each = toRows(Float32Array.from(flatten(x)), headSize);
      const normalized = toRows(Float32Array.from(flatten(rmsNorm(each, scale, 1e-6))), heads * headSize);
      expectClose(await read(w, around(window, margins)), framed(normalized, margins), {
        rtol: EPSILON * (Math.sqrt(headSize) + 9), // as above, and the reference is rounded
      });
    }
  });

  it('eps as small as BERT’s 1e-12, and a constant row', async () => {
    const w = await testWork(device);
    const x = [Float32Array.of(1e-5, -1e-5, 1e-5, -1e-5), Float32Array.of(7, 7, 7, 7)];
    const scale = Float32Array.of(1, 1, 1, 1);
    const shift = Float32Array.of(0, 1, 2, 3);
    const weights = { scale: uploadVector(w, scale), shift: uploadVector(w, shift), eps: 1e-12 };
    expectClose(
      await read(w, normalize(w, upload(w, x), weights)),
      flatten(layerNorm(x, scale, shift, 1e-12)),
      { atol: 1e-6 }, // some ulp of numbers up to 4
    );
  });
});

it('parameters of another length are named', async () => {
  const w = await testWork();
  const x = w.empty(2, 4, 'x');
  const four = uploadVector(w, [1, 2, 3, 4]);
  const three = { ...uploadVector(w, [1, 2, 3]), name: 'ln.bias' };
  const message = /ln\.bias has 3 values, input \[2, 4\]/;
  expectShapeErrors([
    [() => normalize(w, x, { scale: three, eps: 0 }), message],
    [() => normalize(w, x, { scale: four, shift: three, eps: 0 }), message],
    [
      () => normalizeFrozen(w, x, { first: 1, count: 2 }, rowsOf(x, 0, 1), { scale: four, eps: 0 }),
      /frozen norm: rows 1 to 3 of \[2, 4\]/,
    ],
    [
      () => normalizeFrozen(w, x, { first: 0, count: 2 }, x, { scale: four, eps: 0 }),
      /frozen norm: \[2, 4\] at \[2, 4\]/,
    ],
    [() => normalizeHeads(w, x, 2, { scale: three, eps: 0 }), /ln\.bias has 3 values, \[2, 4\] are 2 heads/],
  ]);
});
