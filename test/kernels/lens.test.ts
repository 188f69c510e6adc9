import { describe, expect, it } from 'vitest';
import type { Tensor, Work } from '../../src/gpu/index.ts';
import { rowNorms, tokenRanks, topLogits } from '../../src/kernels/index.ts';
import { expectClose } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { DEVICES, EPSILON, expectShapeErrors, read, upload } from './support.ts';

/** BLIP-VQA's vocabulary, a prime, one. */
const VOCABULARIES = [30524, 13, 1];

/** Tokens of a row by falling logit, of equal ones by id. */
function sorted(row: ArrayLike<number>): number[] {
  return Array.from({ length: row.length }, (_, id) => id).sort((a, b) => row[b]! - row[a]! || a - b);
}

async function words(w: Work, tensor: Tensor): Promise<Uint32Array> {
  return new Uint32Array(Float32Array.from(await read(w, tensor)).buffer);
}

describe.each(DEVICES)('on %s', (_, device) => {
  it.each(VOCABULARIES)('the largest of %i logits and ranks, equal ones among them', async (V) => {
    const w = await testWork(device);
    const random = new Random(V);
    // Steps of 1/8 have many equal values in a large vocabulary.
    const logits = random
      .matrix(5, V, { spread: 4 })
      .map((row) => Float32Array.from(row, (x) => Math.round(8 * x) / 8));
    const k = Math.min(V, 7);
    const tensor = upload(w, logits);
    const top = await words(w, topLogits(w, tensor, k));
    const values = new Float32Array(top.buffer);
    const ids = [V - 1, 0, random.integer(V)];
    const ranks = await words(w, tokenRanks(w, tensor, ids));
    logits.forEach((row, r) => {
      const order = sorted(row);
      const places = Array.from({ length: k }, (_, i) => 2 * (r * k + i));
      expect(places.map((at) => top[at])).toEqual(order.slice(0, k));
      expect(places.map((at) => values[at + 1])).toEqual(order.slice(0, k).map((id) => row[id]));
      expect([...ranks.subarray(3 * r, 3 * r + 3)]).toEqual(ids.map((id) => order.indexOf(id)));
    });
  });

  it('norms of rows', async () => {
    const w = await testWork(device);
    const x = new Random(3).matrix(4, 769, { spread: 20 });
    const expected = x.map((row) =>
      Math.sqrt(Array.from(row).reduce((sum, value) => sum + value * value, 0)),
    );
    // A sum of squares is off by 2⁻²⁴ √n of itself, its root by half as much, and that is rounded.
    expectClose(await read(w, rowNorms(w, upload(w, x))), expected, {
      rtol: EPSILON * (Math.sqrt(769) / 2 + 2),
    });
  });
});

it('what does not fit', async () => {
  const w = await testWork();
  const logits = upload(w, new Random(1).matrix(2, 5));
  expectShapeErrors([
    [() => topLogits(w, logits, 0), /0 of a vocabulary of 5/],
    [() => topLogits(w, logits, 6), /6 of a vocabulary of 5/],
    [() => tokenRanks(w, logits, [5]), /token id 5 is outside the vocabulary of 5/],
  ]);
});
