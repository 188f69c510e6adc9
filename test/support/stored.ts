// What f16, bf16, NF4 and int8 make of a model's weights, by the references.

import {
  asFloat32,
  type HostTensor,
  type ModelSource,
  readTensors,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { int8, nf4, roundToBf16, roundToF16, toRows } from '../reference/index.ts';

/** What weights can be stored as, but for f32. */
export const STORED = ['f16', 'bf16', 'nf4', 'int8'] as const;

type Stored = (typeof STORED)[number];

/** Matrices that are no linear layers, which bitsandbytes leaves as they are, and the output head. */
const NOT_LINEAR =
  /embed|lm_head|predictions\.decoder|query_tokens|mm_input_projection|decoder\.tokens|vision\.positions/;

/** What the references make of one matrix. */
const VALUES: Readonly<Record<Stored, (values: Float32Array, columns: number) => ArrayLike<number>>> = {
  f16: (values) => Array.from(values, roundToF16),
  bf16: (values) => Array.from(values, roundToBf16),
  nf4: (values) => nf4(values).values,
  int8: (values, columns) => int8(toRows(values, columns)).values,
};

/** A folder's model.safetensors with the values that `dtype` stores, as f32. */
export async function storedValues(source: ModelSource, dtype: Stored): Promise<Uint8Array> {
  const file = await source.open('model.safetensors');
  if (!file) throw new Error(`${source.name} has no weights`);
  const quantised = dtype === 'nf4' || dtype === 'int8';
  const tensors = [...(await readTensors(file))].map(([name, tensor]): [string, HostTensor] => {
    const axes = tensor.shape.filter((size) => size > 1).length;
    // Vectors stay f32. The newline of LLaVA-NeXT is a row of features, and stored like those.
    const stored = quantised
      ? axes === 2 && !NOT_LINEAR.test(name)
      : axes > 1 || name.endsWith('image_newline');
    if (!stored) return [name, tensor];
    const values = VALUES[dtype](asFloat32(tensor, name), tensor.shape.at(-1) as number);
    return [name, { dtype: 'F32', shape: tensor.shape, data: Float32Array.from(values) }];
  });
  await file.close();
  return writeSafetensors(new Map(tensors));
}
