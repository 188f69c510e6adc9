// LLaVA-1.5: CLIP, a projector, and a LLaMA that reads the image's features among the prompt's tokens. Behaviour is
// that of transformers' LlavaForConditionalGeneration.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import type { PromptTemplates } from '../../inputs/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { ContinuingModel, generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import type { ModelRun } from '../model.ts';
import { Llama } from '../parts/llama.ts';
import { patchSide } from '../parts/vit.ts';
import type { Probe } from '../tower/index.ts';
import { type LlavaConfig, parseLlavaConfig } from './config.ts';
import { llavaHooks } from './hooks.ts';
import { ImageEncoder } from './image-encoder.ts';
import { type LlavaWeights, loadLlavaWeights } from './weights.ts';

export const LLAVA_TEMPLATES = {
  /** As the model card has it. */
  llava: 'USER: <image>\n{question} ASSISTANT:',
  /** Asked for one word; llava-shapes was trained with it. */
  'llava-one-word': 'USER: <image>\n{question} Answer with one word. ASSISTANT:',
  /** With the answer on a line of its own. */
  'llava-notice': 'USER: <image>\n{question}\nASSISTANT:',
};

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadLlava({ gpu, source, config, checkpoint, loader }: ModelFiles): Promise<Llava> {
  const parsed = parseLlavaConfig(config, await generationConfig(source));
  const weights = await loadLlavaWeights(loader, checkpoint, parsed);
  return new Llava(gpu, parsed, weights, loader);
}

export class Llava extends ContinuingModel {
  readonly family: string = 'llava';
  readonly templates: PromptTemplates = LLAVA_TEMPLATES;
  readonly config: LlavaConfig;
  readonly #images: ImageEncoder;

  constructor(
    gpu: Gpu,
    config: LlavaConfig,
    weights: LlavaWeights,
    loader: WeightLoader,
    { maxImages = 1 }: { readonly maxImages?: number } = {},
  ) {
    const hooks = llavaHooks(config);
    const { vision, classFeature, imageToken, videoToken, stopTokens } = config;
    const language = new Llama(config.language, weights.language);
    super({
      gpu,
      hooks,
      vision,
      imageTowers: ['vision', 'projector'],
      tileFeatures: { side: patchSide(vision), first: vision.classToken && classFeature ? 1 : 0 },
      maxImages,
      language,
      imageToken,
      videoToken,
      stopTokens,
      loader,
    });
    this.config = config;
    this.#images = new ImageEncoder(config, weights, hooks);
  }

  protected see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    return this.#images.encode(w, runs, probe);
  }
}
