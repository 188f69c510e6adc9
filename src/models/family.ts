// What a family of models has to give: from a model folder to a model.

import type { Gpu } from '../gpu/index.ts';
import type { Checkpoint, ModelSource, WeightLoader } from '../weights/index.ts';
import type { VisionLanguageModel } from './model.ts';

export interface ModelFiles {
  readonly gpu: Gpu;
  /** The folder, for files beside these. */
  readonly source: ModelSource;
  /** config.json */
  readonly config: unknown;
  readonly checkpoint: Checkpoint;
  readonly loader: WeightLoader;
}

/**
 * Makes a model. Its `destroy` frees what the loader has loaded. It is called first with a loader that only plans, so it
 * runs no kernels on weights.
 *
 * @throws NoticeError('config'), WeightsError
 */
export type ModelFamily = (files: ModelFiles) => Promise<VisionLanguageModel>;
