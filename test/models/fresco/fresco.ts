// "Fresco" does not exist: a ViT whose output a LLaMA-like decoder attends to in every block. It is added as
// docs/adding-a-model.md says.

import {
  type Answerer,
  type ForwardOptions,
  generateAnswers,
  Llama,
  type Logits,
  type ModelFiles,
  NO_PROBE,
  type Probe,
  patchSide,
  sequenceIn,
  TiledImageModel,
  Tower,
  tokenRuns,
  walkVit,
} from '../../../src/families.ts';
import type { Generated, GenerateOptions, Gpu, ModelRun, Sample, Tensor, Work } from '../../../src/index.ts';
import { type FrescoConfig, parseFrescoConfig } from './config.ts';
import { frescoHooks } from './hooks.ts';
import { type FrescoWeights, loadFrescoWeights } from './weights.ts';

export async function loadFresco({ gpu, config: json, loader }: ModelFiles): Promise<Fresco> {
  const config = parseFrescoConfig(json);
  const weights = await loadFrescoWeights(loader, config);
  return new Fresco(gpu, config, weights, loader.bytes, () => loader.destroy());
}

export class Fresco extends TiledImageModel {
  readonly family = 'fresco';
  readonly answers = 'continuation';
  override readonly defaultTower = 'language';
  readonly towers = ['vision', 'language'];
  readonly imageAttention = 'language.cross_attn';
  readonly templates = { fresco: '{question} :' };
  readonly config: FrescoConfig;
  readonly #weights: FrescoWeights;
  readonly #vision: Tower;
  readonly #language: Llama;

  constructor(
    gpu: Gpu,
    config: FrescoConfig,
    weights: FrescoWeights,
    weightBytes: number,
    release: () => void,
  ) {
    const language = new Llama(config.language, weights.language);
    super({
      gpu,
      hooks: frescoHooks(config),
      configs: [config.vision.tower, config.language.tower],
      vision: config.vision,
      imageTowers: ['vision'],
      tileFeatures: { side: patchSide(config.vision), first: 1 },
      maxImages: 1,
      prompt: language.tower,
      vocabulary: config.language.vocabulary,
      maxPositions: config.language.maxPositions,
      weightBytes,
      release,
    });
    this.config = config;
    this.#weights = weights;
    this.#vision = new Tower(config.vision.tower, weights.vision.blocks);
    this.#language = language;
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features, answer }: ForwardOptions = {},
  ): Promise<Logits> {
    const { memory } = await this.features(w, runs, probe, features);
    const options = { probe, memory, tokens: answer?.length };
    const tensor = await this.#language.answer(w, runs, this.#embed(w, runs), options);
    return { tensor, rowOf: (run, token = 0) => sequenceIn(run, 'logits').row(token) };
  }

  get answerer(): Answerer {
    return this.#language;
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { tower, stopTokens, maxPositions } = this.config.language;
    const llama = this.#language;
    return generateAnswers(this.gpu, samples, options, {
      config: tower,
      stopTokens,
      maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => {
        const { memory } = await this.features(w, runs, probe);
        const walk = { probe, cache, memory: { ...memory, keyValues: new Map() } };
        return {
          logits: await llama.answer(w, runs, this.#embed(w, runs), walk),
          next: (tokens) => llama.answer(w, runs, llama.embed(w, tokens), walk),
        };
      },
    });
  }

  protected see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    return walkVit(w, this.#vision, this.config.vision, this.#weights.vision, runs, probe);
  }

  #embed(w: Work, runs: readonly ModelRun[]): Tensor {
    const rows = tokenRuns(runs, 'language', (run) => sequenceIn(run, 'vision'));
    return this.#language.embed(
      w,
      rows.map(({ id }) => id),
    );
  }
}
