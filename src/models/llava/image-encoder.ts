// Images to features in the language model's width: the vision tower up to one of its hidden states, then the projector.

import type { Tensor, Work } from '../../gpu/index.ts';
import { gatherRows, normalize } from '../../kernels/index.ts';
import { adoptFeatures, followingRuns, selectFeatures } from '../feature-runs.ts';
import type { HookInfo } from '../hook-table.ts';
import type { ModelRun } from '../model.ts';
import { project } from '../parts/projector.ts';
import { vitPositions } from '../parts/vit.ts';
import { sequencesIn } from '../sequences.ts';
import { type Probe, passPoint, Tower } from '../tower/index.ts';
import { embedImages, visionRuns } from '../vision.ts';
import type { LlavaConfig } from './config.ts';
import type { LlavaWeights } from './weights.ts';

export class ImageEncoder {
  readonly #config: LlavaConfig;
  readonly #weights: LlavaWeights;
  readonly #tower: Tower;
  /** Hook points of the blocks above the features. */
  readonly #hooksAbove: readonly string[];
  /** The position that each feature is made of. */
  readonly #sources: readonly (readonly number[])[];

  /** @param hooks those of the whole model */
  constructor(config: LlavaConfig, weights: LlavaWeights, hooks: readonly HookInfo[]) {
    this.#config = config;
    this.#weights = weights;
    this.#tower = new Tower(config.vision.tower, weights.vision.blocks);
    this.#hooksAbove = hooks
      .map(({ name }) => name)
      .filter((name) => Number(/^vision\.blocks\.(\d+)\./.exec(name)?.[1]) >= config.featureBlocks);
    const all = Array.from({ length: vitPositions(config.vision) }, (_, position) => [position]);
    this.#sources = all.slice(config.vision.classToken && !config.classFeature ? 1 : 0);
  }

  /**
   * Computes the features of the runs' images and makes their runs in `projector`.
   *
   * @returns projected features [rows, language width]
   */
  async encode(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const selected = await this.#see(w, runs, probe);
    followingRuns(runs, 'vision', 'projector');
    const { projector } = this.#weights;
    const walk = { w, probe, runs: sequencesIn(runs, 'projector') };
    return project(walk, 'projector', selected, projector, this.#config.projector.activation);
  }

  /** The vision tower: [rows, vision width] of the features' positions, which are those of `vision` from here on. */
  async #see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { vision, visionNames, featureBlocks } = this.#config;
    const weights = this.#weights.vision;
    const tiles = visionRuns(runs, weights.positions.rows, vision.tiled);
    const frame = { x: embedImages(w, probe, tiles, { ...vision, ...weights }) };
    const walk = { w, probe, runs: sequencesIn(runs, 'vision') };
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    let { x } = frame;
    if (visionNames.normFirst) {
      x = normalize(w, frame.x, weights.norm);
      w.release(frame.x);
    }
    frame.x = await this.#tower.walk(walk, x, 0, featureBlocks);
    // The blocks above feed nothing; they are computed only for whoever looks at them. The stream that enters them is what the
    // features are made of.
    const above = this.#hooksAbove.some((name) => probe.wants(name));
    if (above) await this.#tower.enter(walk, featureBlocks, frame);
    x = frame.x;
    const selected = selectFeatures(walk.runs, this.#sources);
    const { rows } = selected;
    const features = { x: gatherRows(w, x, rows, w.empty(rows.length, x.columns, 'selected features')) };
    if (above) x = await this.#tower.walk(walk, x, featureBlocks, undefined, { entered: true });
    w.release(x);
    const own = adoptFeatures(runs, 'vision', selected);
    await passPoint({ ...walk, runs: own }, 'vision.hook_selected', features, 'x');
    return features.x;
  }
}
