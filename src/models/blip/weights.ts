// Where BlipForQuestionAnswering keeps its parameters.

import type { NormWeights } from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import { type BertWeights, loadBert } from '../parts/bert.ts';
import { BLIP_VIT, loadVit, type VitWeights } from '../parts/vit.ts';
import type { Linear } from '../tower/index.ts';
import { layerNorm, linear } from '../weight-maps.ts';
import type { BlipConfig } from './config.ts';

export interface BlipWeights {
  readonly vision: VitWeights;
  readonly encoder: BertWeights;
  readonly decoder: BertWeights;
  readonly headTransform: Linear;
  readonly headNorm: NormWeights;
  readonly head: Linear;
}

export async function loadBlipWeights(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  { vision, encoder, decoder }: BlipConfig,
): Promise<BlipWeights> {
  const { tower, vocabulary, eps } = decoder;
  const { width } = tower;
  const predictions = 'text_decoder.cls.predictions';
  // The bias of the head has two names for one parameter; the second overwrites the first when transformers loads it.
  // A head that is tied to the embeddings may be left out.
  const headBias = [`${predictions}.decoder.bias`, `${predictions}.bias`].find((name) =>
    checkpoint.has(name),
  );
  const headWeight = checkpoint.has(`${predictions}.decoder.weight`)
    ? `${predictions}.decoder.weight`
    : 'text_decoder.bert.embeddings.word_embeddings.weight';
  return {
    vision: await loadVit(loader, 'vision_model.', vision, BLIP_VIT),
    encoder: await loadBert(loader, 'text_encoder', encoder, vision.tower.width),
    decoder: await loadBert(loader, 'text_decoder.bert', decoder, encoder.tower.width),
    headTransform: await linear(loader, `${predictions}.transform.dense`, width, width),
    headNorm: await layerNorm(loader, `${predictions}.transform.LayerNorm`, width, eps),
    head: {
      weight: await loader.matrix(headWeight, { rows: vocabulary, columns: width }),
      bias: headBias ? await loader.vector(headBias, vocabulary) : undefined,
    },
  };
}
