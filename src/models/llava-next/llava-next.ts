// LLaVA-NeXT and LLaVA-OneVision: LLaVA whose pictures are seen whole and in tiles. Behaviour is that of transformers'
// LlavaNextForConditionalGeneration and LlavaOnevisionForConditionalGeneration.

import { type Gpu, rowsOf, type Work } from '../../gpu/index.ts';
import { bestResolution } from '../../inputs/index.ts';
import { blendRows, copyRows, embedTokens, type Weight } from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import type { FeatureGrid, ImageInput } from '../image-input.ts';
import { Llava } from '../llava/llava.ts';
import { type LlavaWeights, loadLlavaWeights } from '../llava/weights.ts';
import type { ModelRun } from '../model.ts';
import type { SampleTensors } from '../sample-tensors.ts';
import type { Memory } from '../tower/index.ts';
import { prefixOf } from '../weight-maps.ts';
import { type LlavaNextConfig, parseLlavaNextConfig, parseLlavaOnevisionConfig } from './config.ts';
import { canvasArea, PACKED, packedCount, packedGrids, packRuns } from './packing.ts';
import { anyresTensors } from './tensors.ts';

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export function loadLlavaNext(files: ModelFiles): Promise<LlavaNext> {
  return load('llava_next', files, parseLlavaNextConfig);
}

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export function loadLlavaOnevision(files: ModelFiles): Promise<LlavaNext> {
  return load('llava_onevision', files, parseLlavaOnevisionConfig);
}

async function load(
  family: string,
  { gpu, source, config: json, checkpoint, loader }: ModelFiles,
  parse: (json: unknown, generation: unknown) => LlavaNextConfig,
): Promise<LlavaNext> {
  const config = parse(json, await generationConfig(source));
  const weights = await loadLlavaWeights(loader, checkpoint, config);
  const shape = { rows: 1, columns: config.language.tower.width };
  const newline = await loader.matrix(`${prefixOf(checkpoint, 'image_newline')}image_newline`, shape);
  return new LlavaNext(gpu, family, config, { ...weights, newline }, loader);
}

export class LlavaNext extends Llava {
  override readonly family: string;
  /** Prompts are the model folder's chat template. */
  override readonly templates = {};
  override readonly tensors: SampleTensors;
  readonly #config: LlavaNextConfig;
  /** The feature that ends a row, [1, width]. */
  readonly #newline: Weight;

  constructor(
    gpu: Gpu,
    family: string,
    config: LlavaNextConfig,
    weights: LlavaWeights & { readonly newline: Weight },
    loader: WeightLoader,
  ) {
    super(gpu, config, weights, loader, { maxImages: Number.POSITIVE_INFINITY });
    this.family = family;
    this.tensors = anyresTensors(config);
    this.#config = config;
    this.#newline = weights.newline;
  }

  override featureCount(image: ImageInput): number {
    return packedCount(image, this.#config.packing);
  }

  override featureGrids(image: ImageInput): readonly FeatureGrid[] {
    return packedGrids(image, this.#config.packing);
  }

  override visionGrids(image: ImageInput): readonly FeatureGrid[] {
    const canvas = canvasArea(image);
    // The tiles show the picture with its padding.
    return super.visionGrids(image).map((grid) => (grid.tile && canvas ? { ...grid, area: canvas } : grid));
  }

  /** A picture that is cut into two rows of two tiles, where there is such a resolution. */
  override blankImage(): ImageInput {
    const { vision, resolutions } = this.#config;
    const side = vision.imageSize;
    const picture = { height: 2 * side, width: 2 * side };
    const { height, width } = bestResolution(picture, resolutions);
    const tiles = { rows: height / side, columns: width / side, overview: 'first' } as const;
    const data = new Float32Array((tiles.rows * tiles.columns + 1) * 3 * side ** 2);
    return { data, height: side, width: side, tiles, picture };
  }

  /** Features of all tiles to those of the prompt; see {@link packRuns}. */
  protected override async arrange(w: Work, runs: readonly ModelRun[], { tensor }: Memory) {
    const { rows, columns } = tensor;
    const blends = packRuns(runs, rows, this.#config.packing);
    const packed = w.empty(rows + 1 + blends.length, columns, 'packed features');
    const newline = embedTokens(w, [0], this.#newline);
    copyRows(w, tensor, rowsOf(packed, 0, rows));
    copyRows(w, newline, rowsOf(packed, rows, 1));
    blendRows(w, tensor, blends, packed, rows + 1);
    w.release(newline);
    return { tower: PACKED, features: packed };
  }
}
