// Images to features in the language model's width: CLIP up to one of its hidden states, then the projector.

import type { Gpu, Tensor } from '../../gpu/index.ts';
import { activate, gatherRows, matmul, normalize } from '../../kernels/index.ts';
import type { HookInfo } from '../hook-table.ts';
import type { ModelRun } from '../model.ts';
import { towerRun, towerRuns } from '../sequences.ts';
import { type Probe, passPoint, type Run, Tower } from '../tower/index.ts';
import { embedImages, visionRuns } from '../vision.ts';
import type { LlavaConfig } from './config.ts';
import { followingRuns, runsFrom } from './feature-runs.ts';
import type { LlavaWeights } from './weights.ts';

export class ImageEncoder {
  readonly #gpu: Gpu;
  readonly #config: LlavaConfig;
  readonly #weights: LlavaWeights;
  readonly #tower: Tower;
  /** Hook points of the blocks above the features. */
  readonly #hooksAbove: readonly string[];

  /** @param hooks those of the whole model */
  constructor(gpu: Gpu, config: LlavaConfig, weights: LlavaWeights, hooks: readonly HookInfo[]) {
    this.#gpu = gpu;
    this.#config = config;
    this.#weights = weights;
    this.#tower = new Tower(gpu, config.vision, weights.vision);
    this.#hooksAbove = hooks
      .map(({ name }) => name)
      .filter((name) => Number(/^vision\.blocks\.(\d+)\./.exec(name)?.[1]) >= config.featureBlocks);
  }

  /** Positions of an image in the vision tower. */
  get positions(): number {
    return this.#weights.positions.rows;
  }

  /** Features of an image: what its tokens in the prompt stand for. */
  get features(): number {
    return this.positions - this.#firstFeature;
  }

  get #firstFeature(): number {
    return this.#config.classFeature ? 0 : 1;
  }

  /**
   * Computes the features of the runs' images and makes their runs in `projector`.
   *
   * @returns projected features [rows, language width]
   */
  async encode(runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const selected = await this.#see(runs, probe);
    followingRuns(runs, 'vision', 'projector');
    return this.#project(towerRuns(runs, 'projector'), selected, probe);
  }

  /** The vision tower: [rows, vision width] of the features' positions, which are those of `vision` from here on. */
  async #see(runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const gpu = this.#gpu;
    const { imageSize, patchSize, featureBlocks } = this.#config;
    const { patches, classToken, positions, visionNorm } = this.#weights;
    const images = visionRuns(runs, this.positions);
    const frame = {
      x: embedImages(gpu, images, { patches, classToken, positions, imageSize, patchSize }),
    };
    const walk = { gpu, probe, runs: towerRuns(runs, 'vision') };
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    const normalized = normalize(gpu, frame.x, visionNorm);
    gpu.release(frame.x);
    let x = await this.#tower.walk(walk, normalized, 0, featureBlocks);
    const { selected, rows } = runsFrom(walk.runs, this.#firstFeature);
    const features = { x: gatherRows(gpu, x, rows, gpu.empty(rows.length, x.columns, 'selected features')) };
    // The blocks above feed nothing; they are computed only for whoever looks at them.
    if (this.#hooksAbove.some((name) => probe.wants(name)))
      x = await this.#tower.walk(walk, x, featureBlocks);
    gpu.release(x);
    for (const run of runs) run.towers.set('vision', selected.get(towerRun(run, 'vision')) as Run);
    await passPoint({ ...walk, runs: [...selected.values()] }, 'vision.hook_selected', features, 'x');
    return features.x;
  }

  async #project(runs: readonly Run[], features: Tensor, probe: Probe): Promise<Tensor> {
    const gpu = this.#gpu;
    const { input, output } = this.#weights.projector;
    const activation = this.#config.projectorActivation;
    const walk = { gpu, probe, runs };
    const hidden = { x: features };
    if (probe.wants('projector.hook_pre')) {
      const pre = { x: matmul(gpu, features, input.weight, { bias: input.bias }) };
      await passPoint(walk, 'projector.hook_pre', pre, 'x');
      hidden.x = activate(gpu, pre.x, activation);
      gpu.release(pre.x);
    } else {
      hidden.x = matmul(gpu, features, input.weight, { bias: input.bias, activation });
    }
    gpu.release(features);
    await passPoint(walk, 'projector.hook_post', hidden, 'x');
    const out = { x: matmul(gpu, hidden.x, output.weight, { bias: output.bias }) };
    gpu.release(hidden.x);
    await passPoint(walk, 'projector.hook_out', out, 'x');
    return out.x;
  }
}
