// A kernel's scalar parameters: a WGSL `struct Params` of 4-byte scalars, at most 64 bytes, the size of the
// immediate data that every implementation with immediates offers.

export type ParamType = 'u32' | 'i32' | 'f32';
export type ParamLayout = Readonly<Record<string, ParamType>>;
/** What a dispatch says of them: all but `one`, which always holds 1 (matmul_operands.wgsl says what for). */
export type ParamValues<L extends ParamLayout> = { readonly [K in Exclude<keyof L, 'one'>]: number };

export const MAX_PARAM_BYTES = 64;

/** Packs `values` in the order of `layout`, which is the order of the fields of `struct Params`. */
export function packParams<L extends ParamLayout>(
  layout: L,
  values: ParamValues<L>,
): Uint32Array<ArrayBuffer> {
  const names = Object.keys(layout);
  const words = new Uint32Array(Math.ceil(names.length / 4) * 4);
  const view = new DataView(words.buffer);
  names.forEach((name, index) => {
    const value = name === 'one' ? 1 : values[name as Exclude<keyof L, 'one'>];
    if (layout[name] === 'f32') view.setFloat32(4 * index, value, true);
    else if (layout[name] === 'i32') view.setInt32(4 * index, value, true);
    else view.setUint32(4 * index, value, true);
  });
  return words;
}
