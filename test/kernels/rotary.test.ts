import { describe, it } from 'vitest';
import { rotaryTable, rotate } from '../../src/kernels/index.ts';
import { turnsOf } from '../../src/models/tower/rotary.ts';
import { flatten, rotary, toRows } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { around, DEVICES, EPSILON, expectShapeErrors, framed, read, uploadWindow } from './support.ts';

const MARGINS = { left: 3, right: 4, above: 1 };
const THETA = 10_000;

describe.each(DEVICES)('rotary embedding on %s', (_, device) => {
  it.each([
    { heads: 32, headSize: 128 },
    { heads: 6, headSize: 8 },
    { heads: 1, headSize: 10 },
    { heads: 3, headSize: 2 },
  ])('$heads heads of $headSize features, a window changed in place', async ({ heads, headSize }) => {
    const w = await testWork(device);
    const random = new Random(headSize);
    const positions = [0, 1, 2, 599, 300, 7, 7];
    const x = random.matrix(positions.length, heads * headSize);
    const window = uploadWindow(w, x, MARGINS);
    const numbers = Array.from({ length: 600 }, (_, position) => [position]);
    const table = w.uploadWords(rotaryTable(numbers, turnsOf(headSize, { theta: THETA })), 'table');
    rotate(w, window, heads, w.uploadWords(Uint32Array.from(positions), 'positions'), table);
    const expected = rotary(x, heads, positions, THETA);
    // cos, sin, two products and their sum are each rounded, at sizes up to 1, 1 and √2.
    expectClose(await read(w, window), flatten(expected), {
      atol: 6 * EPSILON,
      shape: [positions.length, heads, headSize],
    });
    const ours = toRows(await read(w, window), heads * headSize);
    expectSameBits(await read(w, around(window, MARGINS)), framed(ours, MARGINS));
  });
});

it('heads of odd size cannot be rotated', async () => {
  const w = await testWork();
  const buffer = w.uploadWords(new Uint32Array(4), 'any');
  const x = w.empty(2, 9, 'x');
  expectShapeErrors([[() => rotate(w, x, 3, buffer, buffer), /\[2, 9\] is not 3 heads of even size/]]);
});
