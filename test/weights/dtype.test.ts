import { describe, expect, it } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../src/weights/index.ts';

const ALL = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

/** The definition of a binary interchange format (IEEE 754, 3.4) with 16 bits. */
function decode(bits: number, exponentBits: number, fractionBits: number): number {
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (exponent === 2 ** exponentBits - 1)
    return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** The f32 values next to `value`, towards and away from zero. */
function neighbours(value: number): [number, number] {
  const values = Float32Array.of(value, value);
  const bits = new Uint32Array(values.buffer);
  bits[0]! -= 1;
  bits[1]! += 1;
  return [values[0]!, values[1]!];
}

const bitsOf = (values: Float32Array) => new Uint32Array(values.buffer);

describe.each([
  {
    format: 'f16',
    widen: f16ToF32,
    narrow: f32ToF16,
    exponentBits: 5,
    fractionBits: 10,
    infinity: 0x7c00,
    // Where the next value would be if the exponent went on; half-way to it everything becomes infinite.
    beyond: 65536,
  },
  {
    format: 'bf16',
    widen: bf16ToF32,
    narrow: f32ToBf16,
    exponentBits: 8,
    fractionBits: 7,
    infinity: 0x7f80,
    beyond: 2 ** 128,
  },
])('$format', ({ widen, narrow, exponentBits, fractionBits, infinity, beyond }) => {
  const value = (bits: number) => (bits === infinity ? beyond : decode(bits, exponentBits, fractionBits));

  it('widens all 65536 values exactly', () => {
    const wide = widen(ALL);
    const expected = Float64Array.from(ALL, (bits) => decode(bits, exponentBits, fractionBits));
    expect(ALL.filter((bits) => !Object.is(wide[bits], expected[bits]))).toEqual(new Uint16Array(0));
  });

  it('gives every value back, infinities, zeros and NaN payloads too', () => {
    expect(narrow(widen(ALL))).toEqual(ALL);
  });

  it('rounds to nearest, ties to even, at every boundary between two values', () => {
    const inputs: number[] = [];
    const expected: number[] = [];
    for (let low = 0; low < infinity; low++) {
      const middle = (value(low) + value(low + 1)) / 2;
      const [below, above] = neighbours(middle);
      for (const [input, bits] of [
        [below, low],
        [middle, low % 2 === 0 ? low : low + 1],
        [above, low + 1],
      ] as const) {
        inputs.push(input, -input);
        expected.push(bits, bits | 0x8000);
      }
    }
    expect(narrow(Float32Array.from(inputs))).toEqual(Uint16Array.from(expected));
  });

  it('keeps NaN even where its payload lies below the bits that stay', () => {
    const values = new Float32Array(2);
    bitsOf(values).set([0x7f800001, 0xff800001]);
    expect(Array.from(widen(narrow(values)), Number.isNaN)).toEqual([true, true]);
    const quiet = infinity | (1 << (fractionBits - 1)); // as processors make them
    expect([...narrow(values)]).toEqual([quiet, quiet | 0x8000]);
  });

  it('converts a window of a larger array', () => {
    const values = Float32Array.of(9, 1, -2, 9);
    expect(widen(narrow(values.subarray(1, 3)))).toEqual(Float32Array.of(1, -2));
  });
});
