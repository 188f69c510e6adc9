// Element types of safetensors, and conversions between f32 and the half types that are exact to the bit.
// A file may hold types that nothing here computes with; they are listed, counted and left where they are.
//
// Typed arrays have the machine's byte order; every platform with WebGPU is little-endian, as safetensors is.

/** The array that holds values of each type; the half types as their 16 bits. */
export interface DtypeArrays {
  BOOL: Uint8Array<ArrayBuffer>;
  U8: Uint8Array<ArrayBuffer>;
  I8: Int8Array<ArrayBuffer>;
  F8_E5M2: Uint8Array<ArrayBuffer>;
  F8_E4M3: Uint8Array<ArrayBuffer>;
  I16: Int16Array<ArrayBuffer>;
  U16: Uint16Array<ArrayBuffer>;
  F16: Uint16Array<ArrayBuffer>;
  BF16: Uint16Array<ArrayBuffer>;
  I32: Int32Array<ArrayBuffer>;
  U32: Uint32Array<ArrayBuffer>;
  F32: Float32Array<ArrayBuffer>;
  F64: Float64Array<ArrayBuffer>;
  I64: BigInt64Array<ArrayBuffer>;
  U64: BigUint64Array<ArrayBuffer>;
}

export type Dtype = keyof DtypeArrays;

const ARRAYS = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  F8_E5M2: Uint8Array,
  F8_E4M3: Uint8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
} as const satisfies Record<Dtype, unknown>;

/** Bits of an element, in the reference implementation's order: files are sorted by it, largest first. */
const BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const satisfies Record<Dtype, number> & Record<string, number>;

/** Every type that a file may hold. */
export type FileDtype = keyof typeof BITS;

export const FILE_DTYPES = Object.keys(BITS) as readonly FileDtype[];
/** The types whose values are read and written. */
export const DTYPES: readonly Dtype[] = FILE_DTYPES.filter(isDtype);

export function isFileDtype(name: unknown): name is FileDtype {
  return (FILE_DTYPES as readonly unknown[]).includes(name);
}

export function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && Object.hasOwn(ARRAYS, name);
}

/** Bytes of one element; a fraction where elements are packed. */
export function dtypeBytes(dtype: FileDtype): number {
  return BITS[dtype] / 8;
}

/** The bytes as elements of `dtype`, without a copy. They must begin at a multiple of the element's size. */
export function viewAs<D extends Dtype>(dtype: D, bytes: Uint8Array<ArrayBuffer>): DtypeArrays[D] {
  const length = bytes.byteLength / dtypeBytes(dtype);
  return new ARRAYS[dtype](bytes.buffer, bytes.byteOffset, length) as DtypeArrays[D];
}

/** IEEE 754 binary16 to f32: exact, NaN payloads kept. */
export function f16ToF32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0x1f) bits[i] = sign | 0x7f800000 | (fraction << 13);
    else if (exponent > 0) bits[i] = sign | ((exponent + 112) << 23) | (fraction << 13);
    else if (fraction === 0) bits[i] = sign;
    else {
      // Subnormal, fraction · 2⁻²⁴: shift its leading bit to where a normal number hides it.
      const shift = Math.clz32(fraction) - 21;
      bits[i] = sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
    }
  }
  return values;
}

/**
 * f32 to IEEE 754 binary16, rounded to nearest, ties to even. From 65520 on it is infinity. A NaN stays NaN and
 * keeps the upper bits of its payload.
 */
export function f32ToF16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i]! >>> 16) & 0x8000;
    const magnitude = bits[i]! & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      halves[i] = sign | 0x7c00 | ((magnitude >>> 13) & 0x3ff || 0x200);
    } else if (magnitude >= 0x477ff000) {
      halves[i] = sign | 0x7c00;
    } else if (magnitude >= 0x38800000) {
      // Normal, 2⁻¹⁴ and up: a carry out of the fraction moves into the exponent, as it should.
      halves[i] = sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
    } else if (magnitude > 0x33000000) {
      // Subnormal: in units of 2⁻²⁴.
      const shift = 126 - (magnitude >>> 23);
      const significand = (magnitude & 0x7fffff) | 0x800000;
      const justBelowHalf = (1 << (shift - 1)) - 1;
      halves[i] = sign | ((significand + justBelowHalf + ((significand >>> shift) & 1)) >>> shift);
    } else {
      halves[i] = sign; // at most 2⁻²⁵, half the smallest subnormal
    }
  }
  return halves;
}

/** bfloat16 (the upper half of an f32) to f32: exact. */
export function bf16ToF32(halves: Uint16Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(halves.length);
  const bits = new Uint32Array(values.buffer);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return values;
}

/** f32 to bfloat16, rounded to nearest, ties to even. A NaN stays NaN and keeps the upper bits of its payload. */
export function f32ToBf16(values: Float32Array): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const word = bits[i]!;
    if ((word & 0x7fffffff) > 0x7f800000) halves[i] = (word >>> 16) | ((word >>> 16) & 0x7f ? 0 : 0x40);
    else halves[i] = (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return halves;
}
