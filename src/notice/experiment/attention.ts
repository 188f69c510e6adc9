// Where every head looks: attention from the answer's tokens in the prompt to the image's patches, in the clean run.

import { type ImageAttention, imageAttention } from '../../analysis/image-attention.ts';
import { NoticeError } from '../../errors.ts';
import type { Sample, VisionLanguageModel } from '../../models/index.ts';
import { runWithCache } from '../../patching/index.ts';
import { fileSource } from '../../platform/node/files.ts';
import { asFloat32, readTensors, writeSafetensors } from '../../weights/index.ts';
import type { PreparedPair } from './prepare.ts';

/** The attention that reads the image, and which of its keys are patches. */
export interface AttentionSource {
  /** Pattern of the names of its hook points. */
  readonly names: string;
  readonly heads: number;
  readonly layers: number;
  readonly start: number;
  readonly count: number;
}

/** @throws NoticeError('config') for a model that is not known to read images in one of these ways */
export function attentionSource(model: VisionLanguageModel, { ids }: Sample): AttentionSource {
  const of = (tower: string, attention: string, start: number, count: number): AttentionSource => {
    const { heads = 0, layers = 0 } = model.configs.find(({ name }) => name === tower) ?? {};
    return { names: `${tower}.blocks.*.${attention}.hook_pattern`, heads, layers, start, count };
  };
  // The keys of BLIP's cross-attention are the vision tower's positions, of which the first is the class token.
  if (model.family === 'blip') return of('text_encoder', 'cross_attn', 1, model.imagePositions - 1);
  const { imageToken } = model.config;
  if (imageToken === undefined)
    throw new NoticeError('config', `how ${model.family} attends to images is not known`);
  // LLaVA's prompt has one image token for each feature: patches, and before them the class token if
  // `vision_feature_select_strategy` is "full".
  const features = ids.filter((id) => id === imageToken).length;
  const classTokens = features === model.imagePositions ? 1 : 0;
  return of('language', 'attn', ids.indexOf(imageToken) + classTokens, features - classTokens);
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
