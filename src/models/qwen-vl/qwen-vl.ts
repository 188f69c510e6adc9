// Qwen2-VL, Qwen2.5-VL and Qwen3-VL: images of any size as packed patches, a merger, and a decoder whose positions have rows
// and columns. Behaviour is that of transformers' Qwen2VLForConditionalGeneration, Qwen2_5_VL… and Qwen3VL….

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { expandImageTokens, refuseVideo } from '../../inputs/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import { embedPrompts } from '../feature-runs.ts';
import { generateAnswers } from '../generation.ts';
import type { Answerer } from '../head.ts';
import type { HookInfo } from '../hook-table.ts';
import type { FeatureGrid, ImageInput } from '../image-input.ts';
import {
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  ModelRun,
  type Places,
  type Sample,
  type VisionLanguageModel,
} from '../model.ts';
import { Llama } from '../parts/llama.ts';
import type { SampleInput } from '../sample.ts';
import type { SampleTensors } from '../sample-tensors.ts';
import { checkLength, sequenceIn } from '../sequences.ts';
import { NO_PROBE, type Probe, type Walk } from '../tower/index.ts';
import { reusable } from '../vision.ts';
import { parseQwenConfig, type QwenConfig, type QwenKind } from './config.ts';
import { addFeatures } from './deepstack.ts';
import { qwenHooks } from './hooks.ts';
import { type Features, ImageEncoder } from './image-encoder.ts';
import { featureGrid, layoutOf, patchGrid, patchOrder, promptPlaces } from './layout.ts';
import { featuresFor, type SharedFeatures, sharedFeatures } from './shared-features.ts';
import { packedTensors } from './tensors.ts';
import { loadQwenWeights, type QwenWeights } from './weights.ts';

/** Patches of the blank image's sides: 448 pixels, or 512. */
const USUAL_SIDE = 32;

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export function loadQwen(kind: QwenKind) {
  return async ({ gpu, source, config, checkpoint, loader }: ModelFiles): Promise<QwenVl> => {
    const parsed = parseQwenConfig(kind, config, await generationConfig(source));
    return new QwenVl(gpu, parsed, await loadQwenWeights(loader, checkpoint, parsed), loader);
  };
}

export class QwenVl implements VisionLanguageModel {
  readonly family: string;
  readonly answers = 'continuation';
  readonly defaultTower = 'language';
  readonly promptTower = 'language';
  readonly promptEmbedding = 'language.hook_embed';
  readonly imageEmbedding = 'vision.hook_embed';
  readonly imageAttention = 'language.attn';
  /** The folder has a chat template. */
  readonly templates = {};
  readonly imagePlaceholder = '<|image_pad|>';
  readonly gpu: Gpu;
  readonly config: QwenConfig;
  readonly hooks: readonly HookInfo[];
  readonly tensors: SampleTensors;
  readonly #images: ImageEncoder;
  readonly #language: Llama;
  readonly #loader: WeightLoader;

  constructor(gpu: Gpu, config: QwenConfig, weights: QwenWeights, loader: WeightLoader) {
    this.gpu = gpu;
    this.family = config.kind.replaceAll('_', '-');
    this.config = config;
    this.hooks = qwenHooks(config);
    this.tensors = packedTensors(config);
    this.#images = new ImageEncoder(config, weights);
    this.#language = new Llama(config.language, weights.language);
    this.#loader = loader;
  }

  get configs() {
    return [this.config.vision.tower, this.config.language.tower];
  }

  get towers(): readonly string[] {
    const { deepstack } = this.config.vision;
    return ['vision', ...(deepstack.length > 0 ? ['deepstack'] : []), 'projector', 'language'];
  }

  get promptOutput(): string {
    return `language.blocks.${this.config.language.tower.layers - 1}.hook_resid_post`;
  }

  get weightBytes(): number {
    return this.#loader.bytes;
  }

  get vocabulary(): number {
    return this.config.language.vocabulary;
  }

  get imageToken(): number {
    return this.config.imageToken;
  }

  imagePositions(images: readonly ImageInput[]): number {
    return images.reduce((sum, image) => sum + this.featureCount(image) * this.config.vision.merge ** 2, 0);
  }

  featureCount(image: ImageInput): number {
    const [{ rows, columns }] = this.featureGrids(image);
    return rows * columns;
  }

  featureGrids(image: ImageInput): readonly [FeatureGrid] {
    const { merge } = this.config.vision;
    return [{ ...featureGrid(patchGrid(image, merge), merge), first: 0 }];
  }

  visionGrids(image: ImageInput): readonly FeatureGrid[] {
    const { merge, patchValues, window } = this.config.vision;
    const { rows, columns } = patchGrid(image, merge);
    return [
      {
        rows,
        columns,
        first: 0,
        order: patchOrder(layoutOf([image], { merge, patchValues, window }), merge),
      },
    ];
  }

  blankImage(): ImageInput {
    const { vision, language } = this.config;
    const { merge, patchSize, patchValues } = vision;
    // Half of the prompt at most.
    const most = merge * Math.floor(Math.sqrt(language.maxPositions / 2));
    const side = Math.min(merge * Math.floor(USUAL_SIDE / merge), most);
    return {
      data: new Float32Array(side * side * patchValues),
      ...{ height: side * patchSize, width: side * patchSize, patches: { rows: side, columns: side } },
    };
  }

  expand(ids: readonly number[], images: readonly ImageInput[] = [this.blankImage()]) {
    refuseVideo(ids, this.config.videoToken);
    const counts = images.map((image) => this.featureCount(image));
    const expanded = expandImageTokens(ids, this.imageToken, counts);
    checkLength(expanded.ids.length, this.config.language.maxPositions);
    return expanded;
  }

  async encodeImages(w: Work, images: readonly ImageInput[]): Promise<SharedFeatures> {
    const runs = images.map((image) => new ModelRun({ images: [image], ids: [] }));
    return sharedFeatures(runs, await this.#images.encode(w, runs, NO_PROBE));
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features, answer }: ForwardOptions = {},
  ): Promise<Logits> {
    const { x, behind } = await this.#read(w, runs, probe, features);
    const tensor = await this.#language.answer(w, runs, x, { probe, behind, tokens: answer?.length });
    return { tensor, rowOf: (run, token = 0) => sequenceIn(run, 'logits').row(token) };
  }

  get answerer(): Answerer {
    return this.#language;
  }

  generate(samples: readonly SampleInput[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { stopTokens, language } = this.config;
    const llama = this.#language;
    return generateAnswers(this.gpu, samples, options, {
      config: language.tower,
      stopTokens,
      maxPositions: language.maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => {
        const { x, behind } = await this.#read(w, runs, probe);
        return {
          logits: await llama.answer(w, runs, x, { probe, cache, behind }),
          next: (tokens) => llama.answer(w, runs, llama.embed(w, tokens), { probe, cache }),
        };
      },
    });
  }

  destroy(): void {
    this.#loader.destroy();
  }

  /** Images and prompts to the language model's first residual stream, and what is added to it further up. */
  async #read(
    w: Work,
    runs: readonly ModelRun[],
    probe: Probe,
    known?: ImageFeatures,
  ): Promise<{ readonly x: Tensor; readonly behind: Walk['behind'] }> {
    const places = new Map<Sample, Places>();
    for (const run of runs) {
      const own = places.get(run.sample) ?? promptPlaces(run.sample, this.config.vision.merge, this.config);
      places.set(run.sample, own);
      run.places = own;
    }
    const features = known as SharedFeatures | undefined;
    const [projected] = features?.stages ?? [];
    const shared = projected && reusable(projected, this.towers.slice(0, -1), runs, probe, this.hooks);
    const all = features && shared ? featuresFor(features, runs) : await this.#images.encode(w, runs, probe);
    const [own, ...stacked] = all as [Features, ...Features[]];
    for (const [run, sequence] of own.runs) run.towers.set('projector', sequence);
    const x = embedPrompts(w, this.#language, runs, 'projector', this.imageToken, own.tensor);
    if (!shared) w.release(own.tensor);
    return {
      x,
      behind: stacked.length > 0 ? addFeatures(w, runs, stacked, this.imageToken, !shared) : undefined,
    };
  }
}
