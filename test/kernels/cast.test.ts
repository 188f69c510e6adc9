import { describe, expect, it } from 'vitest';
import { castDown, castUp } from '../../src/kernels/index.ts';
import { bf16Value, f16Value, roundToBf16, roundToF16 } from '../reference/index.ts';
import { expectSameBits } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { DEVICES, expectShapeErrors, read, upload } from './support.ts';

const TYPES = [
  ['f16', f16Value, roundToF16],
  ['bf16', bf16Value, roundToBf16],
] as const;

const EVERY_PATTERN = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** The f32 value whose bits are `steps` after those of `value`. */
function neighbour(value: number, steps: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0]! += steps;
  return new Float32Array(bits.buffer)[0]!;
}

/** Every finite value of the type with its f32 neighbours, every tie between two of them with its neighbours, and specials. */
function hardCases(decode: (bits: number) => number): Float32Array {
  const magnitudes = Array.from(EVERY_PATTERN.subarray(0, 32768), decode).filter(Number.isFinite);
  const largest = magnitudes.at(-1)!;
  const beyond = largest + (largest - magnitudes.at(-2)!); // where the next value would be
  const cases = magnitudes.flatMap((value, i) => {
    const tie = (value + (magnitudes[i + 1] ?? beyond)) / 2;
    return [value, neighbour(tie, -1), tie, neighbour(tie, 1)];
  });
  const specials = [beyond, 1e6, 3e38, Number.POSITIVE_INFINITY, Number.NaN, 1e-40, 2 ** -149];
  return Float32Array.from([...cases, ...specials].flatMap((value) => [value, -value]));
}

/** All NaN alike: their bits are not promised. */
const plainNaN = (values: Iterable<number>) =>
  Float32Array.from(values, (value) => (Number.isNaN(value) ? Number.NaN : value));

describe.each(DEVICES)('casts on %s', (_, device) => {
  it.each(TYPES)('round to %s, to nearest and ties to even', async (type, decode, round) => {
    const gpu = await testGpu(device);
    const values = hardCases(decode);
    const words = await read(gpu, castDown(gpu, upload(gpu, [values]), type));
    const halves = new Uint16Array(words.buffer);
    expectSameBits(plainNaN(Array.from(halves, decode)), plainNaN(Array.from(values, round)));
  });

  it.each(TYPES)('widen every %s exactly', async (type, decode) => {
    const gpu = await testGpu(device);
    const words = new Float32Array(EVERY_PATTERN.buffer);
    const halves = gpu.upload(words, 64, words.length / 64, 'halves');
    const widened = castUp(gpu, halves, type);
    expect(widened).toMatchObject({ rows: 64, columns: 1024 });
    expectSameBits(plainNaN(await read(gpu, widened)), plainNaN(Array.from(EVERY_PATTERN, decode)));
  });
});

it('an odd number of columns cannot be packed two to a word', async () => {
  const gpu = await testGpu();
  const odd = gpu.empty(2, 7, 'odd');
  expectShapeErrors([[() => castDown(gpu, odd, 'f16'), /even number of columns, not 7/]]);
});
