// What families share whose vision tower reads one square image with each prompt.

import type { Gpu, Tensor, Work } from '../gpu/index.ts';
import { expandImageTokens, type PromptTemplates } from '../inputs/index.ts';
import { matmul } from '../kernels/index.ts';
import type { HookInfo } from './hook-table.ts';
import type { FeatureGrid, ImageInput } from './image-input.ts';
import {
  type Conventions,
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  ModelRun,
  type VisionLanguageModel,
} from './model.ts';
import type { VitSettings } from './parts/vit.ts';
import type { SampleInput } from './sample.ts';
import { checkLength, sequenceIn } from './sequences.ts';
import {
  type Memory,
  NO_PROBE,
  type Probe,
  type Sequence,
  type Tower,
  type TowerConfig,
} from './tower/index.ts';
import { oneImage, reusable } from './vision.ts';

/** Features of images, and where the tower behind attends to them the keys and values that it makes of them. */
interface SharedFeatures extends ImageFeatures {
  readonly memory: Memory;
  readonly runs: ReadonlyMap<ImageInput, Sequence>;
}

/** What a family's file hands over. */
export interface ModelParts {
  readonly gpu: Gpu;
  readonly hooks: readonly HookInfo[];
  /** Settings of its transformer towers. */
  readonly configs: readonly TowerConfig[];
  readonly vision: VitSettings;
  /** Towers that make the image's features. */
  readonly imageTowers: readonly string[];
  /** The first of the vision tower's positions that is a feature: 1 without the class token. */
  readonly firstFeature: 0 | 1;
  readonly prompt: Tower;
  /** The tower that attends to the features of the image towers; default that of the prompt. */
  readonly reader?: Tower;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly weightBytes: number;
  /** Frees the weights. */
  readonly release: () => void;
}

export abstract class SquareImageModel implements VisionLanguageModel {
  abstract readonly family: string;
  abstract readonly answers: Conventions['answers'];
  abstract readonly towers: readonly string[];
  abstract readonly imageAttention: string;
  abstract readonly templates: PromptTemplates;
  readonly defaultTower?: string;
  readonly imageToken?: number;
  readonly imageEmbedding = 'vision.hook_embed';
  readonly #parts: ModelParts;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  abstract forward(w: Work, runs: readonly ModelRun[], options?: ForwardOptions): Promise<Logits>;
  abstract generate(samples: readonly SampleInput[], options?: GenerateOptions): Promise<Generated[]>;
  /** Walks the towers that make features; the last of them holds a run for each of the runs then. */
  protected abstract see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor>;

  get gpu(): Gpu {
    return this.#parts.gpu;
  }

  get hooks(): readonly HookInfo[] {
    return this.#parts.hooks;
  }

  get configs(): readonly TowerConfig[] {
    return this.#parts.configs;
  }

  get vocabulary(): number {
    return this.#parts.vocabulary;
  }

  get weightBytes(): number {
    return this.#parts.weightBytes;
  }

  get promptTower(): string {
    return this.#parts.prompt.config.name;
  }

  get promptEmbedding(): string {
    return `${this.promptTower}.hook_embed`;
  }

  get promptOutput(): string {
    const { name, layers, norm } = this.#parts.prompt.config;
    return `${name}.blocks.${layers - 1}.hook_${norm === 'after' ? 'normalized_' : ''}resid_post`;
  }

  imagePositions(): number {
    const { imageSize, patchSize } = this.#parts.vision;
    return (imageSize / patchSize) ** 2 + 1;
  }

  featureCount(): number {
    return this.imagePositions() - this.#parts.firstFeature;
  }

  featureGrids(): readonly FeatureGrid[] {
    const { vision, firstFeature } = this.#parts;
    const side = vision.imageSize / vision.patchSize;
    return [{ rows: side, columns: side, first: 1 - firstFeature }];
  }

  blankImage(): ImageInput {
    const { imageSize } = this.#parts.vision;
    return { data: new Float32Array(3 * imageSize ** 2), height: imageSize, width: imageSize };
  }

  expand(ids: readonly number[], images?: readonly ImageInput[]) {
    if (images) oneImage(images);
    const expanded =
      this.imageToken === undefined
        ? { ids, positions: ids.map((_, position) => position) }
        : expandImageTokens(ids, this.imageToken, this.featureCount());
    checkLength(expanded.ids.length, this.#parts.maxPositions);
    return expanded;
  }

  async encodeImages(w: Work, images: readonly ImageInput[]): Promise<SharedFeatures> {
    const { prompt, reader = prompt, imageTowers } = this.#parts;
    const runs = images.map((image) => new ModelRun({ images: [image], ids: [] }));
    const tensor = await this.see(w, runs, NO_PROBE);
    const keyValues = new Map<number, Tensor>();
    reader.blocks.forEach(({ cross }, layer) => {
      if (cross)
        keyValues.set(layer, matmul(w, tensor, cross.keyValue.weight, { bias: cross.keyValue.bias }));
    });
    const tower = imageTowers.at(-1) as string;
    return {
      images,
      tensors: [tensor, ...keyValues.values()],
      memory: { tensor, keyValues },
      runs: new Map(runs.map((run) => [oneImage(run.sample.images), sequenceIn(run, tower)])),
    };
  }

  destroy(): void {
    this.#parts.release();
  }

  /** Features of the runs' images: those of an earlier walk where they can be used. */
  protected async features(
    w: Work,
    runs: readonly ModelRun[],
    probe: Probe,
    features?: ImageFeatures,
  ): Promise<{ readonly memory: Memory; readonly shared: boolean }> {
    const { imageTowers } = this.#parts;
    const known = features as SharedFeatures | undefined;
    if (!known || !reusable(known, imageTowers, runs, probe, this.hooks))
      return {
        memory: { tensor: await this.see(w, runs, probe), keyValues: undefined },
        shared: false,
      };
    const tower = imageTowers.at(-1) as string;
    for (const run of runs) run.towers.set(tower, known.runs.get(oneImage(run.sample.images)) as Sequence);
    return { memory: known.memory, shared: true };
  }
}
