// The half types by their definition: a sign, an exponent and a fraction.

interface Format {
  readonly fractionBits: number;
  /** Exponent of the smallest normal number; below it the spacing stays the same (subnormals). */
  readonly minExponent: number;
  readonly maxExponent: number;
}

/** IEEE 754 binary16. */
const F16: Format = { fractionBits: 10, minExponent: -14, maxExponent: 15 };
/** The upper half of an f32. */
const BF16: Format = { fractionBits: 7, minExponent: -126, maxExponent: 127 };

export const roundToF16 = (value: number) => round(value, F16);
export const roundToBf16 = (value: number) => round(value, BF16);
export const f16Value = (bits: number) => decode(bits, F16);
export const bf16Value = (bits: number) => decode(bits, BF16);

/** The nearest number of the format; of two equally near the one with an even fraction; infinity from max + half a step. */
function round(value: number, { fractionBits, minExponent, maxExponent }: Format): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const magnitude = Math.abs(value);
  const exponent = Math.max(Math.floor(Math.log2(magnitude)), minExponent);
  const step = 2 ** (exponent - fractionBits);
  const rounded = roundHalfToEven(magnitude / step) * step;
  return Math.sign(value) * (rounded >= 2 ** (maxExponent + 1) ? Number.POSITIVE_INFINITY : rounded);
}

export function roundHalfToEven(value: number): number {
  const below = Math.floor(value);
  if (value - below !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/** The number that 16 bits stand for. */
function decode(bits: number, { fractionBits, minExponent, maxExponent }: Format): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const biased = (bits & 0x7fff) >>> fractionBits;
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  if (biased === 0) return sign * fraction * 2 ** minExponent;
  const exponent = biased - 1 + minExponent;
  if (exponent > maxExponent) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction) * 2 ** exponent;
}
