// Random weights in a file's half types, fast enough for gigabytes.
import { f32ToBf16, f32ToF16 } from '../dist/weights/index.js';
import { randomValues } from './measure.mjs';

/** Standard deviation of the weights, LLaMA's `initializer_range`. */
const DEVIATION = 0.02;
/** Random values that all tensors are cut out of, each from another place: drawing 7e9 would take longer than all the rest. */
const POOL = 1 << 22;

const HALF = {
  F16: { from: f32ToF16, one: 0x3c00 },
  BF16: { from: f32ToBf16, one: 0x3f80 },
};

/**
 * @param {'F16' | 'BF16'} dtype
 * @returns {(name: string, place: number, first: number, count: number) => Uint16Array} elements `first` to
 *   `first + count` of the tensor called `name`, the `place`th of its file; those of norms are 1
 */
export function randomWeights(dtype) {
  const { from, one } = HALF[dtype];
  const width = DEVIATION * Math.sqrt(12); // of a uniform distribution
  const pool = from(randomValues(POOL, 7).map((value) => value * width));
  return (name, place, first, count) => {
    const values = new Uint16Array(count);
    if (/(norm|ln_)\w*\.weight$/.test(name)) return values.fill(one);
    for (let at = 0, start = (7919 * (place + 1) + first) % POOL; at < count; start = 0) {
      const piece = pool.subarray(start, Math.min(POOL, start + count - at));
      values.set(piece, at);
      at += piece.length;
    }
    return values;
  };
}
