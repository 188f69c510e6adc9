// What families share whose images are any number of tiles of one size; a picture that is not cut is one.

import { NoticeError } from '../errors.ts';
import type { Gpu, Tensor, Work } from '../gpu/index.ts';
import { expandImageTokens, type PromptTemplates } from '../inputs/index.ts';
import { matmul } from '../kernels/index.ts';
import { joinedRun } from './feature-runs.ts';
import type { Answerer } from './head.ts';
import type { HookInfo } from './hook-table.ts';
import { type FeatureGrid, type ImageInput, sameImages, tileCount } from './image-input.ts';
import {
  type Conventions,
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from './model.ts';
import { patchSide, type VitSettings, vitPositions } from './parts/vit.ts';
import type { SampleInput } from './sample.ts';
import { PICTURE_TENSORS, type SampleTensors } from './sample-tensors.ts';
import { checkLength, sequenceIn } from './sequences.ts';
import {
  type Memory,
  NO_PROBE,
  type Probe,
  type Sequence,
  type Tower,
  type TowerConfig,
} from './tower/index.ts';
import { reusable } from './vision.ts';

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
  /** Features of a tile: `first` that lie nowhere (a class token), then side · side of them, row by row. */
  readonly tileFeatures: { readonly side: number; readonly first: number };
  /** The most images that a prompt can have; default any number. */
  readonly maxImages?: number;
  readonly prompt: Tower;
  /** The tower that attends to the features of the image towers; default that of the prompt. */
  readonly reader?: Tower;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly weightBytes: number;
  /** Frees the weights. */
  readonly release: () => void;
}

export abstract class TiledImageModel implements VisionLanguageModel {
  abstract readonly family: string;
  abstract readonly answers: Conventions['answers'];
  abstract readonly towers: readonly string[];
  abstract readonly imageAttention: string;
  abstract readonly templates: PromptTemplates;
  readonly defaultTower?: string;
  readonly imageToken?: number;
  imageText?(image: ImageInput): string;
  completePrompt?(text: string): string;
  readonly imageEmbedding = 'vision.hook_embed';
  readonly tensors: SampleTensors = PICTURE_TENSORS;
  readonly #parts: ModelParts;

  constructor(parts: ModelParts) {
    this.#parts = parts;
  }

  abstract forward(w: Work, runs: readonly ModelRun[], options?: ForwardOptions): Promise<Logits>;
  abstract readonly answerer: Answerer;
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

  imagePositions(images: readonly ImageInput[]): number {
    return vitPositions(this.#parts.vision) * images.reduce((sum, image) => sum + tileCount(image), 0);
  }

  featureCount(image: ImageInput): number {
    const { side, first } = this.#parts.tileFeatures;
    return (first + side ** 2) * tileCount(image);
  }

  featureGrids(image: ImageInput): readonly FeatureGrid[] {
    const { side, first } = this.#parts.tileFeatures;
    return tileGrids(image, side, first);
  }

  visionGrids(image: ImageInput): readonly FeatureGrid[] {
    const { vision } = this.#parts;
    return tileGrids(image, patchSide(vision), Number(vision.classToken));
  }

  blankImage(): ImageInput {
    const { imageSize } = this.#parts.vision;
    return { data: new Float32Array(3 * imageSize ** 2), height: imageSize, width: imageSize };
  }

  expand(ids: readonly number[], images: readonly ImageInput[] = [this.blankImage()]) {
    this.checkCount(images);
    const expanded =
      this.imageToken === undefined
        ? { ids, positions: ids.map((_, position) => position) }
        : expandImageTokens(
            ids,
            this.imageToken,
            images.map((image) => this.featureCount(image)),
            { repeat: !this.imageText },
          );
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
      runs: new Map(images.map((image, i) => [image, sequenceIn(runs[i] as ModelRun, tower)])),
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
    for (const { sample } of runs) this.checkCount(sample.images);
    const known = features as SharedFeatures | undefined;
    if (!known || !reusable(known, imageTowers, runs, probe, this.hooks))
      return { memory: { tensor: await this.see(w, runs, probe), keyValues: undefined }, shared: false };
    const tower = imageTowers.at(-1) as string;
    const joinedRuns: { readonly sample: Sample; readonly run: Sequence }[] = [];
    for (const run of runs) {
      let found = joinedRuns.find(({ sample }) => sameImages(sample, run.sample));
      if (!found) {
        const parts = run.sample.images.map((image) => known.runs.get(image) as Sequence);
        found = { sample: run.sample, run: joinedRun(parts) };
        joinedRuns.push(found);
      }
      run.towers.set(tower, found.run);
    }
    return { memory: known.memory, shared: true };
  }

  /** @throws NoticeError('image') for none, or more than the model takes */
  protected checkCount(images: readonly ImageInput[]): void {
    const { maxImages = Number.POSITIVE_INFINITY } = this.#parts;
    if (images.length > 0 && images.length <= maxImages) return;
    const takes = maxImages === 1 ? 'one image' : 'at least one image';
    throw new NoticeError('image', `this model reads ${takes} with each prompt, found ${images.length}`);
  }
}

/**
 * The grid of all tiles of an image, and that of the whole picture beside them.
 *
 * @param first of a tile's features, before its side · side, lie nowhere
 */
export function tileGrids({ tiles }: ImageInput, side: number, first: number): FeatureGrid[] {
  const whole = { rows: side, columns: side, first };
  if (!tiles) return [whole];
  const { rows, columns, overview } = tiles;
  const stride = first + side ** 2;
  const grids: FeatureGrid[] = [];
  if (rows > 0)
    grids.push({
      rows: rows * side,
      columns: columns * side,
      first: first + (overview === 'first' ? stride : 0),
      tile: { rows: side, columns: side, ...(first > 0 && { stride }) },
    });
  if (overview) grids.push({ ...whole, first: first + (overview === 'first' ? 0 : rows * columns * stride) });
  return grids;
}
