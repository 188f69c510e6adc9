// Where every head looks: attention from the answer's tokens in the prompt to the image's patches, in the clean run.

import type { Sample, VisionLanguageModel } from '../../models/index.ts';
import { runWithCache } from '../../patching/index.ts';
import { fileSource } from '../../platform/node/files.ts';
import { asFloat32, readTensors, writeSafetensors } from '../../weights/index.ts';
import { type ImageAttention, imageAttention } from '../analysis/image-attention.ts';
import type { PreparedPair } from './prepare.ts';

/** The attention that reads the image from the prompt, and where its keys are patches. */
export function attentionSource(
  model: VisionLanguageModel,
  { ids }: Sample,
): { names: string; heads: number; layers: number; start: number; count: number } {
  const tower = model.configs.at(-1);
  if (model.family === 'blip') {
    const encoder = model.configs.find(({ name }) => name === 'text_encoder');
    return {
      names: 'text_encoder.blocks.*.cross_attn.hook_pattern',
      heads: encoder?.heads ?? 0,
      layers: encoder?.layers ?? 0,
      // The image's class token is key 0.
      start: 1,
      count: model.imagePositions - 1,
    };
  }
  // The image token stands once for every patch.
  const count = model.imagePositions - 1;
  const start = ids.findIndex((id, p) => ids.slice(p, p + count).every((other) => other === id));
  return {
    names: 'language.blocks.*.attn.hook_pattern',
    heads: tower?.heads ?? 0,
    layers: tower?.layers ?? 0,
    start,
    count,
  };
}

/** Attention of some samples as a safetensors file: one tensor per sample id, [layer, head, patch]. */
export async function saveAttention(
  model: VisionLanguageModel,
  samples: readonly PreparedPair[],
  onProgress: (done: number) => void,
): Promise<Uint8Array> {
  const tensors = new Map<string, { dtype: 'F32'; shape: number[]; data: Float32Array<ArrayBuffer> }>();
  for (const { pair, clean, answerPositions } of samples) {
    const { layers, heads, patches, data } = await attentionOf(model, clean, answerPositions);
    tensors.set(pair.id, { dtype: 'F32', shape: [layers, heads, patches], data: new Float32Array(data) });
    onProgress(tensors.size);
  }
  return writeSafetensors(tensors);
}

async function attentionOf(
  model: VisionLanguageModel,
  sample: Sample,
  queries: readonly number[],
): Promise<ImageAttention> {
  const { names, heads, layers, start, count } = attentionSource(model, sample);
  const last = names.replace('*', String(layers - 1));
  const { cache } = await runWithCache(model, [sample], { names, stopAfter: last });
  const patterns = await Promise.all([...cache].map(([, activation]) => activation.read()));
  const [, , rows = 0, keys = 0] = cache.get(last).shape;
  cache.release();
  return imageAttention({ layers: patterns, heads, queries: rows, keys }, queries, { start, count });
}

/** Reads what {@link saveAttention} wrote, by sample id. */
export async function readAttention(path: string): Promise<Map<string, ImageAttention>> {
  const source = await fileSource(path);
  try {
    const tensors = await readTensors(source);
    return new Map(
      [...tensors].map(([id, tensor]) => {
        const [layers = 0, heads = 0, patches = 0] = tensor.shape;
        return [id, { layers, heads, patches, data: asFloat32(tensor, id) }];
      }),
    );
  } finally {
    await source.close();
  }
}
