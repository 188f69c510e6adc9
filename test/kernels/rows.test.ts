import { describe, expect, it } from 'vitest';
import {
  addRows,
  type Blend,
  blendRows,
  gatherRows,
  meanRows,
  spreadHeads,
} from '../../src/kernels/index.ts';
import * as reference from '../reference/index.ts';
import { flatten } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
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
  uploadWindow,
} from './support.ts';

const MARGINS = { left: 5, right: 2, above: 1 };

describe.each(DEVICES)('on %s', (_, device) => {
  it.each([
    [577, 768],
    [13, 65],
    [3, 1],
  ])('rows of [%i, %i] are gathered from a window into a window', async (rows, columns) => {
    const w = await testWork(device);
    const random = new Random(rows);
    const x = random.matrix(rows, columns);
    const index = [...random.permutation(rows).slice(0, 11), 0, rows - 1, 0];
    const out = uploadWindow(w, random.matrix(index.length, columns), MARGINS);
    expect(gatherRows(w, uploadWindow(w, x, MARGINS), Uint32Array.from(index), out)).toBe(out);
    expectSameBits(await read(w, around(out, MARGINS)), framed(reference.gatherRows(x, index), MARGINS));
  });

  it.each([
    [577, 768],
    [13, 65],
    [3, 1],
  ])('rows are added to some of [%i, %i]', async (rows, columns) => {
    const w = await testWork(device);
    const random = new Random(rows);
    const x = random.matrix(rows, columns);
    const source = random.matrix(5, columns);
    const pairs = random
      .permutation(rows)
      .slice(0, 11)
      .map((to, i): [number, number] => [to, i % 5]);
    const tensor = upload(w, x);
    addRows(w, tensor, upload(w, source), Uint32Array.from(pairs.flat()));
    // A sum of two f32 is rounded once, as f64 rounded to f32 is.
    expectSameBits(await read(w, tensor), Float32Array.from(flatten(reference.addRows(x, source, pairs))));
  });

  it.each([
    [19, 8, 96],
    [3, 5, 13],
    [2, 1, 7],
  ])('heads of rows by themselves: %i rows of %i heads of %i', async (rows, heads, size) => {
    const w = await testWork(device);
    const x = new Random(rows).matrix(rows, heads * size);
    const expected = x.flatMap((row) =>
      Array.from({ length: heads }, (_, head) =>
        Array.from(row, (value, column) => (Math.floor(column / size) === head ? value : 0)),
      ),
    );
    const spread = spreadHeads(w, uploadWindow(w, x, MARGINS), heads);
    expectSameBits(await read(w, spread), Float32Array.from(flatten(expected)));
  });

  it('rows between four others', async () => {
    const w = await testWork(device);
    const random = new Random(5);
    const x = random.matrix(31, 67);
    const blends = Array.from(
      { length: 9 },
      (_, i): Blend =>
        Array.from({ length: 4 }, (_, k) => [
          (7 * i + k * k) % 31,
          Math.fround(random.vector(1)[0] as number),
        ]),
    );
    const out = upload(w, random.matrix(11, 67));
    blendRows(w, upload(w, x), blends, out, 2);
    const expected = blends.map((blend) =>
      Array.from({ length: 67 }, (_, c) => blend.reduce((sum, [row, share]) => sum + share * x[row]![c]!, 0)),
    );
    const actual = await read(w, out);
    // Four products and sums.
    expectClose(actual.subarray(2 * 67), expected.flat(), { atol: 8 * EPSILON });
  });

  it('the mean of groups of rows', async () => {
    const w = await testWork(device);
    const random = new Random(3);
    const x = random.matrix(101, 67);
    const groups = [random.permutation(101), [7], [3, 3, 4], [100, 0, 50, 1]];
    const actual = await read(w, meanRows(w, uploadWindow(w, x, MARGINS), groups));
    // Up to 101 roundings of a sum that stays below √101 or so.
    expectClose(actual, flatten(reference.meanRows(x, groups)), { atol: 101 * EPSILON });
  });
});

describe('rows that do not exist', () => {
  it('are named', async () => {
    const w = await testWork();
    const x = w.empty(5, 3, 'x');
    expectShapeErrors([
      [() => gatherRows(w, x, Uint32Array.of(0, 5), w.empty(2, 3, 'out')), /gathering row 5 of \[5, 3\]/],
      [() => gatherRows(w, x, Uint32Array.of(0), w.empty(2, 3, 'out')), /1 rows of \[5, 3\] into \[2, 3\]/],
      [() => gatherRows(w, x, Uint32Array.of(0), w.empty(1, 4, 'out')), /1 rows of \[5, 3\] into \[1, 4\]/],
      [() => blendRows(w, x, [[[0, 1]]], w.empty(1, 3, 'out')), /blending 1 rows into one, not four/],
      [
        () => blendRows(w, x, [new Array(4).fill([5, 1])], w.empty(1, 3, 'out')),
        /blending row 5 of \[5, 3\]/,
      ],
      [() => blendRows(w, x, [new Array(4).fill([0, 1])], w.empty(1, 4, 'out')), /into \[1, 4\] from row 0/],
      [() => spreadHeads(w, x, 2), /\[5, 3\]: not 2 heads/],
      [() => addRows(w, x, w.empty(2, 3, 'source'), Uint32Array.of(5, 0)), /row 5 of \[5, 3\]/],
      [() => addRows(w, x, w.empty(2, 3, 'source'), Uint32Array.of(4, 2)), /row 2 of \[2, 3\]/],
      [() => addRows(w, x, w.empty(2, 4, 'source'), Uint32Array.of(0, 0)), /\[2, 4\] to \[5, 3\]/],
      [() => meanRows(w, x, [[0], [4, -1]]), /mean over row -1 of \[5, 3\]/],
      [() => meanRows(w, x, [[0], []]), /group 1 of 2 has no rows/],
    ]);
  });

  it('gathering nothing does nothing', async () => {
    const w = await testWork();
    const out = w.empty(0, 3, 'out');
    expect(gatherRows(w, w.empty(5, 3, 'x'), new Uint32Array(0), out)).toBe(out);
  });
});
