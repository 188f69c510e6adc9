// "Fresco" does not exist: a ViT whose output a LLaMA-like decoder attends to in every block. It is added as
// docs/adding-a-model.md says.

import type { Gpu, Tensor, Work } from '../../../src/gpu/index.ts';
import { embedTokens, gatherRows, matmul, normalize } from '../../../src/kernels/index.ts';
import type { ModelFiles } from '../../../src/models/family.ts';
import { generateAnswers } from '../../../src/models/generation.ts';
import type { HookInfo } from '../../../src/models/hook-table.ts';
import type { FeatureGrid, ImageInput } from '../../../src/models/image-input.ts';
import {
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/model.ts';
import {
  checkLength,
  lastPositions,
  placesOf,
  tokenRuns,
  towerRun,
  towerRuns,
} from '../../../src/models/sequences.ts';
import {
  type KeyValueCache,
  type Memory,
  NO_PROBE,
  type Probe,
  passPoint,
  type Run,
  rotaryAngles,
  Tower,
  type TowerConfig,
} from '../../../src/models/tower/index.ts';
import {
  blankSquare,
  embedImages,
  oneImage,
  reusable,
  squareGrid,
  visionRuns,
} from '../../../src/models/vision.ts';
import { type FrescoConfig, parseFrescoConfig } from './config.ts';
import { frescoHooks } from './hooks.ts';
import { type FrescoWeights, loadFrescoWeights } from './weights.ts';

export async function loadFresco({ gpu, config: json, loader }: ModelFiles): Promise<Fresco> {
  const config = parseFrescoConfig(json);
  const weights = await loadFrescoWeights(loader, config);
  const angles = await rotaryAngles(gpu, config.language, config.maxPositions);
  return new Fresco(gpu, config, { ...weights, angles }, loader.bytes + angles.size, () => {
    angles.destroy();
    loader.destroy();
  });
}

interface FrescoFeatures extends ImageFeatures {
  readonly memory: Memory;
  readonly runs: ReadonlyMap<ImageInput, Run>;
}

export class Fresco implements VisionLanguageModel {
  readonly family = 'fresco';
  readonly answers = 'continuation';
  readonly defaultTower = 'language';
  readonly templates = { fresco: '{question} :' };
  readonly imageEmbedding = 'vision.hook_embed';
  readonly imageAttention = 'language.cross_attn';
  readonly towers = ['vision', 'language'];
  readonly promptTower = 'language';
  readonly promptEmbedding = 'language.hook_embed';
  readonly promptOutput: string;
  readonly gpu: Gpu;
  readonly config: FrescoConfig;
  readonly hooks: readonly HookInfo[];
  readonly weightBytes: number;
  readonly #weights: FrescoWeights & { readonly angles: GPUBuffer };
  readonly #vision: Tower;
  readonly #language: Tower;
  readonly #release: () => void;

  constructor(
    gpu: Gpu,
    config: FrescoConfig,
    weights: FrescoWeights & { readonly angles: GPUBuffer },
    weightBytes: number,
    release: () => void,
  ) {
    this.gpu = gpu;
    this.config = config;
    this.hooks = frescoHooks(config);
    this.promptOutput = `language.blocks.${config.language.layers - 1}.hook_resid_post`;
    this.#weights = weights;
    this.#vision = new Tower(config.vision, weights.vision);
    this.#language = new Tower(config.language, weights.language);
    this.weightBytes = weightBytes;
    this.#release = release;
  }

  get configs(): readonly TowerConfig[] {
    return [this.config.vision, this.config.language];
  }

  get vocabulary(): number {
    return this.config.vocabulary;
  }

  imagePositions(): number {
    return this.#weights.positions.rows;
  }

  featureCount(): number {
    return this.imagePositions();
  }

  featureGrids(): readonly FeatureGrid[] {
    return [squareGrid(this.config.imageSize, this.config.patchSize, 1)];
  }

  blankImage(): ImageInput {
    return blankSquare(this.config.imageSize);
  }

  expand(ids: readonly number[], images?: readonly ImageInput[]) {
    if (images) oneImage(images);
    checkLength(ids.length, this.config.maxPositions);
    return { ids, positions: ids.map((_, p) => p) };
  }

  async encodeImages(w: Work, images: readonly ImageInput[]): Promise<FrescoFeatures> {
    const runs = images.map((image) => new ModelRun({ images: [image], ids: [] }));
    const tensor = await this.#see(w, runs, NO_PROBE);
    return {
      images,
      tensors: [tensor],
      memory: { tensor, keyValues: undefined },
      runs: new Map(runs.map((run) => [oneImage(run.sample.images), towerRun(run, 'vision')])),
    };
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const known = features as FrescoFeatures | undefined;
    const shared = known && reusable(known, ['vision'], runs, probe, this.hooks);
    if (shared)
      for (const run of runs) run.towers.set('vision', known.runs.get(oneImage(run.sample.images)) as Run);
    const memory: Memory = shared
      ? known.memory
      : { tensor: await this.#see(w, runs, probe), keyValues: undefined };
    const tensor = await this.#answer(w, runs, this.#embed(w, runs), memory, probe);
    return { tensor, rowOf: (run) => towerRun(run, 'logits').row(0) };
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { stopTokens, maxPositions, language } = this.config;
    return generateAnswers(this.gpu, samples, options, {
      config: language,
      stopTokens,
      maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => {
        const memory: Memory = { tensor: await this.#see(w, runs, probe), keyValues: new Map() };
        return {
          logits: await this.#answer(w, runs, this.#embed(w, runs), memory, probe, cache),
          next: (tokens) =>
            this.#answer(w, runs, embedTokens(w, tokens, this.#weights.tokens), memory, probe, cache),
        };
      },
    });
  }

  destroy(): void {
    this.#release();
  }

  async #see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { config } = this;
    const { patches, classToken, positions, visionNorm } = this.#weights;
    const { imageSize, patchSize } = config;
    const images = visionRuns(runs, positions.rows);
    const walk = { w, probe, runs: towerRuns(runs, 'vision') };
    const frame = { x: embedImages(w, images, { patches, classToken, positions, imageSize, patchSize }) };
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    frame.x = await this.#vision.walk(walk, frame.x);
    const out = { x: normalize(w, frame.x, visionNorm) };
    w.release(frame.x);
    await passPoint(walk, 'vision.hook_out', out, 'x');
    return out.x;
  }

  #embed(w: Work, runs: readonly ModelRun[]): Tensor {
    const rows = tokenRuns(runs, 'language', (run) => towerRun(run, 'vision'));
    return embedTokens(
      w,
      rows.map(({ id }) => id),
      this.#weights.tokens,
    );
  }

  async #answer(
    w: Work,
    runs: readonly ModelRun[],
    embedded: Tensor,
    memory: Memory,
    probe: Probe,
    cache?: KeyValueCache,
  ): Promise<Tensor> {
    const { tokens, norm, angles } = this.#weights;
    const places = placesOf(runs, 'language', this.config.maxPositions);
    const rotary = { table: angles, places };
    const walk = { w, probe, runs: towerRuns(runs, 'language'), memory, cache, rotary };
    const frame = { x: embedded };
    await passPoint(walk, 'language.hook_embed', frame, 'x');
    const x = await this.#language.walk(walk, frame.x);
    const rows = lastPositions(runs, 'language');
    const last = gatherRows(w, x, rows, w.empty(rows.length, x.columns, 'last positions'));
    const normalized = normalize(w, last, norm);
    const logits = { x: matmul(w, normalized, tokens) };
    w.release(x, last, normalized);
    await passPoint(walk, 'logits', logits, 'x');
    return logits.x;
  }
}
