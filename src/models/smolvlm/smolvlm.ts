// SmolVLM, SmolVLM2 and Idefics3: SigLIP on tiles, a pixel shuffle and a projection, and a LLaMA that reads the features
// among the prompt's tokens. Behaviour is that of transformers' SmolVLMForConditionalGeneration.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { gatherRows } from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { ContinuingModel, generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import { adoptFeatures, followingRuns, selectFeatures } from '../feature-runs.ts';
import type { ImageInput } from '../image-input.ts';
import type { ModelRun } from '../model.ts';
import { Llama } from '../parts/llama.ts';
import { projectLinear } from '../parts/projector.ts';
import { blocksOfPatches, walkVit } from '../parts/vit.ts';
import { sequencesIn } from '../sequences.ts';
import { type Probe, passPoint, Tower } from '../tower/index.ts';
import { parseSmolVlmConfig, type SmolVlmConfig } from './config.ts';
import { smolVlmHooks } from './hooks.ts';
import { imageText } from './image-text.ts';
import { TILE_TENSORS } from './tensors.ts';
import { loadSmolVlmWeights, type SmolVlmWeights } from './weights.ts';

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadSmolVlm({ gpu, source, config, checkpoint, loader }: ModelFiles): Promise<SmolVlm> {
  const parsed = parseSmolVlmConfig(config, await generationConfig(source));
  const weights = await loadSmolVlmWeights(loader, checkpoint, parsed);
  return new SmolVlm(gpu, parsed, weights, loader);
}

export class SmolVlm extends ContinuingModel {
  readonly family = 'smolvlm';
  /** Prompts are the folder's chat template. */
  readonly templates = {};
  override readonly tensors = TILE_TENSORS;
  readonly config: SmolVlmConfig;
  readonly #weights: SmolVlmWeights;
  readonly #vision: Tower;
  /** The patches of a tile that each of its features is made of. */
  readonly #blocks: readonly (readonly number[])[];

  constructor(gpu: Gpu, config: SmolVlmConfig, weights: SmolVlmWeights, loader: WeightLoader) {
    const { vision, side, scale, imageToken, stopTokens } = config;
    const language = new Llama(config.language, weights.language);
    super({
      gpu,
      hooks: smolVlmHooks(config),
      vision,
      imageTowers: ['vision', 'connector'],
      tileFeatures: { side, first: 0 },
      language,
      imageToken,
      stopTokens,
      loader,
    });
    this.config = config;
    this.#weights = weights;
    this.#vision = new Tower(vision.tower, weights.vision.blocks);
    this.#blocks = blocksOfPatches(side, scale);
  }

  override imageText(image: ImageInput): string {
    return imageText(image, this.config.side ** 2);
  }

  override blankImage(): ImageInput {
    const { vision, usualTiles: side } = this.config;
    const { imageSize } = vision;
    const tiles = side > 1 ? { rows: side, columns: side, overview: 'last' as const } : undefined;
    const count = tiles ? side ** 2 + 1 : 1;
    const data = new Float32Array(count * 3 * imageSize ** 2);
    return { data, height: imageSize, width: imageSize, ...(tiles && { tiles }) };
  }

  protected async see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { vision, connector } = this.#weights;
    const x = await walkVit(w, this.#vision, this.config.vision, vision, runs, probe);
    const features = selectFeatures(sequencesIn(runs, 'vision'), this.#blocks);
    adoptFeatures(runs, 'vision', features);
    followingRuns(runs, 'vision', 'connector');
    // The patches of a block, row by row, one behind the other: rows of the tower are parts of a feature's row.
    const patches = this.config.scale ** 2;
    const count = features.rows.length / patches;
    const shuffled = { x: w.empty(count, patches * x.columns, 'shuffled features') };
    const parts = { ...shuffled.x, rows: features.rows.length, columns: x.columns, stride: x.columns };
    gatherRows(w, x, features.rows, parts);
    w.release(x);
    const walk = { w, probe, runs: sequencesIn(runs, 'connector') };
    await passPoint(walk, 'connector.hook_shuffled', shuffled, 'x');
    return projectLinear(walk, 'connector', shuffled.x, connector);
  }
}
