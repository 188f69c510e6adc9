// What families share whose language model reads the images' features among the prompt's tokens and goes on with it.

import type { Tensor, Work } from '../gpu/index.ts';
import { refuseVideo } from '../inputs/index.ts';
import { hasFile, type ModelSource, readJson } from '../weights/index.ts';
import { embedPrompts } from './feature-runs.ts';
import { generateAnswers } from './generation.ts';
import type { Answerer } from './head.ts';
import type { ImageInput } from './image-input.ts';
import type { ForwardOptions, Generated, GenerateOptions, ImageFeatures, Logits, ModelRun } from './model.ts';
import type { Llama } from './parts/llama.ts';
import type { SampleInput } from './sample.ts';
import { sequenceIn } from './sequences.ts';
import { type ModelParts, TiledImageModel } from './tiled-image-model.ts';
import { type Memory, NO_PROBE, type Probe, type TowerConfig } from './tower/index.ts';

/** What a family's file hands over. */
export interface ContinuingParts
  extends Omit<ModelParts, 'configs' | 'prompt' | 'vocabulary' | 'maxPositions' | 'weightBytes' | 'release'> {
  readonly language: Llama;
  /** What lies between the image towers and the language model, of features that depend on the prompt; default nothing. */
  readonly between?: { readonly towers: readonly string[]; readonly configs: readonly TowerConfig[] };
  /** The token of an image's feature in a prompt. */
  readonly imageToken: number;
  /** The token of a video in a prompt, where the family reads some: they are refused. */
  readonly videoToken?: number | undefined;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
  /** What holds the weights. */
  readonly loader: { readonly bytes: number; destroy(): void };
}

/**
 * Left to the family: `see`, the images to features of the language model's width, and where these are not yet what stands in the
 * prompt, `arrange`.
 */
export abstract class ContinuingModel extends TiledImageModel {
  readonly answers = 'continuation';
  override readonly defaultTower = 'language';
  readonly towers: readonly string[];
  readonly imageAttention: string = 'language.attn';
  override readonly imageToken: number;
  readonly #language: Llama;
  readonly #stopTokens: readonly number[];
  readonly #videoToken: number | undefined;

  constructor(of: ContinuingParts) {
    const { language, between, imageToken, videoToken, stopTokens, loader, ...parts } = of;
    const { settings, tower } = language;
    super({
      ...parts,
      configs: [parts.vision.tower, ...(between?.configs ?? []), tower.config],
      prompt: tower,
      vocabulary: settings.vocabulary,
      maxPositions: settings.maxPositions,
      weightBytes: loader.bytes,
      release: () => loader.destroy(),
    });
    this.towers = [...parts.imageTowers, ...(between?.towers ?? []), tower.config.name];
    this.imageToken = imageToken;
    this.#language = language;
    this.#stopTokens = stopTokens;
    this.#videoToken = videoToken;
  }

  override expand(ids: readonly number[], images?: readonly ImageInput[]) {
    refuseVideo(ids, this.#videoToken);
    return super.expand(ids, images);
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features, answer }: ForwardOptions = {},
  ): Promise<Logits> {
    const x = await this.#read(w, runs, probe, features);
    const tensor = await this.#language.answer(w, runs, x, { probe, tokens: answer?.length });
    return { tensor, rowOf: (run, token = 0) => sequenceIn(run, 'logits').row(token) };
  }

  get answerer(): Answerer {
    return this.#language;
  }

  generate(samples: readonly SampleInput[], options: GenerateOptions = {}): Promise<Generated[]> {
    const llama = this.#language;
    return generateAnswers(this.gpu, samples, options, {
      config: llama.tower.config,
      stopTokens: this.#stopTokens,
      maxPositions: llama.settings.maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => ({
        logits: await llama.answer(w, runs, await this.#read(w, runs, probe), { probe, cache }),
        next: (tokens) => llama.answer(w, runs, llama.embed(w, tokens), { probe, cache }),
      }),
    });
  }

  /** From what was seen to the features in the order of the prompt's image tokens, and the tower of their runs. */
  protected async arrange(
    _w: Work,
    _runs: readonly ModelRun[],
    { tensor }: Memory,
    _probe: Probe,
  ): Promise<{ readonly tower: string; readonly features: Tensor }> {
    return { tower: this.towers.at(-2) as string, features: tensor };
  }

  /** Images and prompts to the language model's first residual stream. */
  async #read(w: Work, runs: readonly ModelRun[], probe: Probe, known?: ImageFeatures): Promise<Tensor> {
    for (const { sample } of runs) refuseVideo(sample.ids, this.#videoToken);
    const { memory, shared } = await this.features(w, runs, probe, known);
    const { tower, features } = await this.arrange(w, runs, memory, probe);
    const x = embedPrompts(w, this.#language, runs, tower, this.imageToken, features);
    if (features !== memory.tensor) w.release(features);
    if (!shared) w.release(memory.tensor);
    return x;
  }
}

/** generation_config.json, whose stop tokens go before config.json's; empty where there is none. */
export async function generationConfig(source: ModelSource): Promise<unknown> {
  const file = 'generation_config.json';
  return (await hasFile(source, file)) ? readJson(source, file) : {};
}
