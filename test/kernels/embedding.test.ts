import { describe, expect, it } from 'vitest';
import { columnsOf } from '../../src/gpu/index.ts';
import { addPositions, embedImage, embedTokens, imagePatches } from '../../src/kernels/index.ts';
import * as reference from '../reference/index.ts';
import { flatten } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import {
  DEVICES,
  EPSILON,
  expectShapeErrors,
  read,
  stored,
  upload,
  uploadVector,
  uploadWeight,
} from './support.ts';

const TYPES = ['f32', 'f16', 'bf16'] as const;
/** Tables of these types: widening is exact and a sum of two f32 is rounded once, as f64 rounded to f32 is. */
const exact = (x: reference.Matrix) => Float32Array.from(flatten(x));

describe.each(DEVICES)('on %s', (_, device) => {
  it.each(TYPES)('token and position embeddings in %s', async (type) => {
    const w = await testWork(device);
    for (const columns of [768, 37, 1]) {
      const random = new Random(columns);
      const tokens = stored(random.matrix(101, columns), type);
      const positions = stored(random.matrix(29, columns), type);
      const ids = [0, 100, 50, 49, 51, 50, random.integer(101)];
      const places = [28, 0, 1, 2, 3, 28, 5];
      const table = uploadWeight(w, tokens, type, [50, 1, 50]);
      const both = embedTokens(w, ids, table, places, uploadWeight(w, positions, type));
      expectSameBits(await read(w, both), exact(reference.embedTokens(ids, tokens, places, positions)));
      const alone = embedTokens(w, ids, table);
      expectSameBits(await read(w, alone), exact(reference.embedTokens(ids, tokens)));
    }
  });

  it.each(TYPES)('class token and position embeddings in %s', async (type) => {
    const w = await testWork(device);
    for (const [images, T, columns] of [
      [2, 577, 40],
      [3, 5, 771],
      [1, 2, 1],
    ] as const) {
      const random = new Random(columns);
      const patches = random.matrix(images * (T - 1), columns);
      const classToken = random.vector(columns);
      const positions = stored(random.matrix(T, columns), type);
      const actual = embedImage(
        w,
        upload(w, patches),
        uploadVector(w, classToken),
        uploadWeight(w, positions, type),
      );
      expectSameBits(await read(w, actual), exact(reference.embedImage(patches, classToken, positions)));
    }
  });

  it.each(TYPES)('positions between the rows of a table in %s', async (type) => {
    const w = await testWork(device);
    for (const [rows, columns] of [
      [300, 40],
      [7, 771],
      [1, 1],
    ] as const) {
      const random = new Random(columns);
      const patches = random.matrix(rows, columns);
      const positions = stored(random.matrix(49, columns), type);
      const corners = patches.map((_, r) => {
        const [down, right] = [(r % 7) / 7, (r % 3) / 3];
        const shares = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right];
        return shares.map((share): [number, number] => [random.integer(49), share]);
      });
      const actual = addPositions(w, upload(w, patches), uploadWeight(w, positions, type), corners);
      // Five sums of values below 4 or so, each rounded.
      expectClose(await read(w, actual), flatten(reference.addPositions(patches, positions, corners)), {
        atol: 5 * 8 * EPSILON,
      });
    }
  });

  it('the patches of images', async () => {
    const w = await testWork(device);
    for (const [images, height, width, size] of [
      [2, 64, 48, 16],
      [1, 42, 28, 14],
      [3, 3, 2, 1],
      [2, 15, 11, 4],
    ] as const) {
      const pixels = new Random(size).matrix(images, 3 * height * width);
      const actual = imagePatches(w, upload(w, pixels), height, width, size);
      expect(actual).toMatchObject({
        rows: images * Math.floor(height / size) * Math.floor(width / size),
        columns: 3 * size * size,
      });
      expectSameBits(await read(w, actual), exact(reference.imagePatches(pixels, height, width, size)));
    }
  });
});

describe('what does not fit', () => {
  it('is named', async () => {
    const w = await testWork();
    const random = new Random(1);
    const table = { ...uploadWeight(w, random.matrix(10, 4)), name: 'word_embeddings' };
    const places = { ...uploadWeight(w, random.matrix(3, 4)), name: 'position_embeddings' };
    const halves = { ...uploadWeight(w, random.matrix(3, 4), 'f16'), name: 'position_embeddings' };
    const four = uploadVector(w, [1, 2, 3, 4]);
    const three = uploadVector(w, [1, 2, 3]);
    const patches = w.empty(4, 4, 'patches');
    const corners = [0, 1, 2, 0].map((row): [number, number] => [row, 0.25]);
    const beyond = [...corners.slice(1), [3, 0.25] as const];
    expectShapeErrors([
      [() => embedTokens(w, [1, 10], table), /token id 10 is outside the vocabulary of 10/],
      [() => embedTokens(w, [-1], table), /token id -1 is outside/],
      [() => embedTokens(w, [1, 2], table, [0, 3], places), /position 3 is beyond the 3 of position_emb/],
      [() => embedTokens(w, [1, 2], table, [0], places), /1 positions for 2 token ids/],
      [() => embedTokens(w, [1], table, [0], halves), /position_embeddings does not match word_embeddings/],
      [() => embedImage(w, w.empty(3, 4, 'p'), four, places), /\[3, 4\] do not fill images of 2 patches/],
      [() => embedImage(w, columnsOf(w.empty(4, 5, 'p'), 0, 4), four, places), /do not fill/],
      [() => embedImage(w, patches, three, places), /vector has 3 values, position_embeddings 4 columns/],
      [() => addPositions(w, w.empty(1, 3, 'p'), places, [corners]), /\[1, 3\] do not match position_emb/],
      [
        () => addPositions(w, w.empty(2, 4, 'p'), places, [corners]),
        /for each of 2 patches, found 1 times 4/,
      ],
      [() => addPositions(w, w.empty(1, 4, 'p'), places, [[[0, 1]]]), /found 1 times 1/],
      [
        () => addPositions(w, w.empty(1, 4, 'p'), places, [beyond]),
        /position 3 is beyond the 3 of position_emb/,
      ],
      [() => imagePatches(w, w.empty(1, 48, 'x'), 4, 4, 5), /\[1, 48\] is not .* 4 × 4\] in patches of 5/],
      [() => imagePatches(w, w.empty(1, 47, 'x'), 4, 4, 2), /\[1, 47\] is not/],
    ]);
  });
});
