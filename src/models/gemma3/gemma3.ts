// Gemma 3 with pictures: SigLIP, averages of blocks of patches, a norm and a matrix, and a Gemma 3 in which the features of a
// picture see each other. Behaviour is that of transformers' Gemma3ForConditionalGeneration.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { meanRows, normalize } from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { ContinuingModel, generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import { adoptFeatures, followingRuns, selectFeatures } from '../feature-runs.ts';
import type { FeatureGrid, ImageInput } from '../image-input.ts';
import type { ModelRun, Sample } from '../model.ts';
import { Llama, type Together } from '../parts/llama.ts';
import { projectLinear } from '../parts/projector.ts';
import { blocksOfPatches, patchSide, walkVit } from '../parts/vit.ts';
import type { SampleTensors } from '../sample-tensors.ts';
import { sequencesIn } from '../sequences.ts';
import { type KeyRange, type Probe, passPoint, Tower } from '../tower/index.ts';
import { type Gemma3Config, parseGemma3Config } from './config.ts';
import { gemma3Hooks } from './hooks.ts';
import { featureGrids, imageText, pictureTensors } from './images.ts';
import { type Gemma3Weights, loadGemma3Weights } from './weights.ts';

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadGemma3({ gpu, source, config, checkpoint, loader }: ModelFiles): Promise<Gemma3> {
  const parsed = parseGemma3Config(config, await generationConfig(source));
  return new Gemma3(gpu, parsed, await loadGemma3Weights(loader, checkpoint, parsed), loader);
}

export class Gemma3 extends ContinuingModel {
  readonly family = 'gemma3';
  /** The folder's chat template. */
  readonly templates = {};
  readonly imagePlaceholder = '<start_of_image>';
  override readonly tensors: SampleTensors;
  readonly config: Gemma3Config;
  readonly #weights: Gemma3Weights;
  readonly #vision: Tower;
  /** The patches of a picture that each of its features is made of. */
  readonly #blocks: readonly (readonly number[])[];

  constructor(gpu: Gpu, config: Gemma3Config, weights: Gemma3Weights, loader: WeightLoader) {
    const { vision, language, side, pool, imageToken, stopTokens } = config;
    super({
      gpu,
      hooks: gemma3Hooks(config),
      vision,
      imageTowers: ['vision', 'projector'],
      tileFeatures: { side, first: 0 },
      language: new Llama(language, weights.language, pictures(imageToken)),
      imageToken,
      stopTokens,
      loader,
    });
    this.config = config;
    this.tensors = pictureTensors(imageToken, side ** 2);
    this.#weights = weights;
    this.#vision = new Tower(vision.tower, weights.vision.blocks);
    this.#blocks = blocksOfPatches(side, pool);
  }

  override imageText(image: ImageInput): string {
    return imageText(image, this.config.side ** 2);
  }

  override featureGrids(image: ImageInput): readonly FeatureGrid[] {
    return featureGrids(image, this.config.side);
  }

  override visionGrids(image: ImageInput): readonly FeatureGrid[] {
    return featureGrids(image, patchSide(this.config.vision));
  }

  protected async see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { vision, projector } = this.#weights;
    const x = await walkVit(w, this.#vision, this.config.vision, vision, runs, probe);
    const features = selectFeatures(sequencesIn(runs, 'vision'), this.#blocks);
    adoptFeatures(runs, 'vision', features);
    followingRuns(runs, 'vision', 'projector');
    const walk = { w, probe, runs: sequencesIn(runs, 'projector') };
    const patches = this.config.pool ** 2;
    const groups = Array.from({ length: features.rows.length / patches }, (_, f) => [
      ...features.rows.subarray(f * patches, (f + 1) * patches),
    ]);
    const stage = { x: meanRows(w, x, groups) };
    w.release(x);
    await passPoint(walk, 'projector.hook_pooled', stage, 'x');
    const pooled = stage.x;
    stage.x = normalize(w, pooled, projector.norm);
    w.release(pooled);
    await passPoint(walk, 'projector.hook_normalized', stage, 'x');
    return projectLinear(walk, 'projector', stage.x, { weight: projector.weight, bias: undefined });
  }
}

/** Each picture or crop sees itself; image tokens that follow each other are one. */
function pictures(imageToken: number): Together {
  const known = new WeakMap<readonly number[], readonly KeyRange[]>();
  const find = (ids: readonly number[]) => {
    const ranges: KeyRange[] = [];
    for (let p = 0; p < ids.length; p++) {
      if (ids[p] !== imageToken) continue;
      const first = p;
      while (ids[p] === imageToken) p++;
      ranges.push({ first, end: p });
    }
    return ranges;
  };
  return {
    beyondWindow: false,
    blocks: ({ ids }: Sample) => {
      const blocks = known.get(ids) ?? find(ids);
      known.set(ids, blocks);
      return blocks;
    },
  };
}
