// "Fresco" does not exist: a ViT whose output a LLaMA-like decoder attends to in every block. It is added as
// docs/adding-a-model.md says.

import type { Gpu, Tensor } from '../../../src/gpu/index.ts';
import { embedTokens, gatherRows, matmul, normalize } from '../../../src/kernels/index.ts';
import type { ModelFiles } from '../../../src/models/family.ts';
import { continuePrompts } from '../../../src/models/generation.ts';
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
  return new Fresco(gpu, config, weights, loader.bytes, () => loader.destroy());
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
  readonly #weights: FrescoWeights;
  readonly #vision: Tower;
  readonly #language: Tower;
  readonly #angles: GPUBuffer;
  readonly #release: () => void;

  constructor(
    gpu: Gpu,
    config: FrescoConfig,
    weights: FrescoWeights,
    weightBytes: number,
    release: () => void,
  ) {
    this.gpu = gpu;
    this.config = config;
    this.hooks = frescoHooks(config);
    this.promptOutput = `language.blocks.${config.language.layers - 1}.hook_resid_post`;
    this.#weights = weights;
    this.#vision = new Tower(gpu, config.vision, weights.vision);
    this.#language = new Tower(gpu, config.language, weights.language);
    this.#angles = rotaryAngles(gpu, config.language, config.maxPositions);
    this.weightBytes = weightBytes + this.#angles.size;
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

  async encodeImages(images: readonly ImageInput[]): Promise<FrescoFeatures> {
    const runs = images.map((image) => new ModelRun({ images: [image], ids: [] }));
    const tensor = await this.#see(runs, NO_PROBE);
    return {
      images,
      tensors: [tensor],
      memory: { tensor, keyValues: undefined },
      runs: new Map(runs.map((run) => [oneImage(run.sample.images), towerRun(run, 'vision')])),
      release: () => this.gpu.release(tensor),
    };
  }

  async forward(
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const known = features as FrescoFeatures | undefined;
    const shared = known && reusable(known, ['vision'], runs, probe, this.hooks);
    if (shared)
      for (const run of runs) run.towers.set('vision', known.runs.get(oneImage(run.sample.images)) as Run);
    const memory: Memory = shared
      ? known.memory
      : { tensor: await this.#see(runs, probe), keyValues: undefined };
    const tensor = await this.#answer(runs, this.#embed(runs), memory, probe);
    return { tensor, rowOf: (run) => towerRun(run, 'logits').row(0) };
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { stopTokens, maxPositions, language } = this.config;
    let memory: Memory;
    return continuePrompts(this.gpu, language, samples, options, {
      stopTokens,
      maxPositions,
      start: async (runs, probe, cache) => {
        memory = { tensor: await this.#see(runs, probe), keyValues: new Map() };
        return this.#answer(runs, this.#embed(runs), memory, probe, cache);
      },
      next: (runs, tokens, probe, cache) =>
        this.#answer(runs, embedTokens(this.gpu, tokens, this.#weights.tokens), memory, probe, cache),
    });
  }

  destroy(): void {
    this.#angles.destroy();
    this.#release();
  }

  async #see(runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { gpu, config } = this;
    const { patches, classToken, positions, visionNorm } = this.#weights;
    const { imageSize, patchSize } = config;
    const images = visionRuns(runs, positions.rows);
    const walk = { gpu, probe, runs: towerRuns(runs, 'vision') };
    const frame = { x: embedImages(gpu, images, { patches, classToken, positions, imageSize, patchSize }) };
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    frame.x = await this.#vision.walk(walk, frame.x);
    const out = { x: normalize(gpu, frame.x, visionNorm) };
    gpu.release(frame.x);
    await passPoint(walk, 'vision.hook_out', out, 'x');
    return out.x;
  }

  #embed(runs: readonly ModelRun[]): Tensor {
    const rows = tokenRuns(runs, 'language', (run) => towerRun(run, 'vision'));
    return embedTokens(
      this.gpu,
      rows.map(({ id }) => id),
      this.#weights.tokens,
    );
  }

  async #answer(
    runs: readonly ModelRun[],
    embedded: Tensor,
    memory: Memory,
    probe: Probe,
    cache?: KeyValueCache,
  ): Promise<Tensor> {
    const { gpu } = this;
    const { tokens, norm } = this.#weights;
    const places = placesOf(runs, 'language', this.config.maxPositions);
    const rotary = { table: this.#angles, places };
    const walk = { gpu, probe, runs: towerRuns(runs, 'language'), memory, cache, rotary };
    const frame = { x: embedded };
    await passPoint(walk, 'language.hook_embed', frame, 'x');
    const x = await this.#language.walk(walk, frame.x);
    const rows = lastPositions(runs, 'language');
    const last = gatherRows(gpu, x, rows, gpu.empty(rows.length, x.columns, 'last positions'));
    const normalized = normalize(gpu, last, norm);
    const logits = { x: matmul(gpu, normalized, tokens) };
    gpu.release(x, last, normalized);
    await passPoint(walk, 'logits', logits, 'x');
    return logits.x;
  }
}
