// LLaVA-1.5: CLIP, a projector, and a LLaMA that reads the image's features among the prompt's tokens. Behaviour is
// that of transformers' LlavaForConditionalGeneration.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { hasFile, readJson } from '../../weights/index.ts';
import type { ModelFiles } from '../family.ts';
import { embedPrompts } from '../feature-runs.ts';
import { generateAnswers } from '../generation.ts';
import type {
  ForwardOptions,
  Generated,
  GenerateOptions,
  ImageFeatures,
  Logits,
  ModelRun,
} from '../model.ts';
import { Llama } from '../parts/llama.ts';
import type { SampleInput } from '../sample.ts';
import { sequenceIn } from '../sequences.ts';
import { SquareImageModel } from '../square-image-model.ts';
import { NO_PROBE, type Probe } from '../tower/index.ts';
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

const GENERATION_FILE = 'generation_config.json';

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadLlava({ gpu, source, config, checkpoint, loader }: ModelFiles): Promise<Llava> {
  const generation = (await hasFile(source, GENERATION_FILE)) ? await readJson(source, GENERATION_FILE) : {};
  const parsed = parseLlavaConfig(config, generation);
  const weights = await loadLlavaWeights(loader, checkpoint, parsed);
  return new Llava(gpu, parsed, weights, loader.bytes, () => loader.destroy());
}

export class Llava extends SquareImageModel {
  readonly family = 'llava';
  readonly answers = 'continuation';
  override readonly defaultTower = 'language';
  readonly towers = ['vision', 'projector', 'language'];
  readonly imageAttention = 'language.attn';
  readonly templates = LLAVA_TEMPLATES;
  override readonly imageToken: number;
  readonly config: LlavaConfig;
  readonly #images: ImageEncoder;
  readonly #language: Llama;

  /** `release` frees the weights. */
  constructor(
    gpu: Gpu,
    config: LlavaConfig,
    weights: LlavaWeights,
    weightBytes: number,
    release: () => void,
  ) {
    const hooks = llavaHooks(config);
    const language = new Llama(config.language, weights.language);
    super({
      gpu,
      hooks,
      configs: [config.vision.tower, config.language.tower],
      vision: config.vision,
      imageTowers: ['vision', 'projector'],
      firstFeature: config.classFeature ? 0 : 1,
      prompt: language.tower,
      vocabulary: config.language.vocabulary,
      maxPositions: config.language.maxPositions,
      weightBytes,
      release,
    });
    this.config = config;
    this.imageToken = config.imageToken;
    this.#images = new ImageEncoder(config, weights, hooks);
    this.#language = language;
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const x = await this.#read(w, runs, probe, features);
    const tensor = await this.#language.answer(w, runs, x, { probe });
    return { tensor, rowOf: (run) => sequenceIn(run, 'logits').row(0) };
  }

  generate(samples: readonly SampleInput[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { stopTokens, language } = this.config;
    const llama = this.#language;
    return generateAnswers(this.gpu, samples, options, {
      config: language.tower,
      stopTokens,
      maxPositions: language.maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => ({
        logits: await llama.answer(w, runs, await this.#read(w, runs, probe), { probe, cache }),
        next: (tokens) => llama.answer(w, runs, llama.embed(w, tokens), { probe, cache }),
      }),
    });
  }

  protected see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    return this.#images.encode(w, runs, probe);
  }

  /** Images and prompts to the language model's first residual stream. */
  async #read(w: Work, runs: readonly ModelRun[], probe: Probe, known?: ImageFeatures): Promise<Tensor> {
    const { memory, shared } = await this.features(w, runs, probe, known);
    const x = embedPrompts(w, this.#language, runs, this.imageToken, memory.tensor);
    if (!shared) w.release(memory.tensor);
    return x;
  }
}
