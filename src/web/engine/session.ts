// What the worker holds: a device, the model that is open on it, and the pair that is looked at.

import { NoticeError } from '../../errors.ts';
import type { Gpu } from '../../gpu/index.ts';
import type { ImageFeatures, Processor, VisionLanguageModel } from '../../models/index.ts';
import { keepFeatures } from '../../patching/index.ts';
import type { ModelSource } from '../../weights/index.ts';
import type { ModelInfo } from '../protocol/session.ts';
import type { SessionPair } from './pair.ts';

export interface OpenModel {
  readonly model: VisionLanguageModel;
  readonly processor: Processor;
  readonly source: ModelSource;
  readonly info: ModelInfo;
}

export class Session {
  #gpu: Gpu | undefined;
  #opened: OpenModel | undefined;
  #pair: SessionPair | undefined;
  #features: ImageFeatures | undefined;

  /** The device, if one is open that is not lost. */
  get gpu(): Gpu | undefined {
    return this.#gpu?.lost.aborted ? undefined : this.#gpu;
  }

  /** @throws NoticeError('usage') if no model is open */
  get opened(): OpenModel {
    if (!this.#opened) throw new NoticeError('usage', 'no model is open: choose one above');
    return this.#opened;
  }

  get model(): VisionLanguageModel {
    return this.opened.model;
  }

  /** @throws NoticeError('usage') if none is prepared for the open model */
  get pair(): SessionPair {
    if (!this.#pair) throw new NoticeError('usage', 'no pair is prepared: choose one above');
    return this.#pair;
  }

  /** Takes a device in the place of the one before, which is destroyed with all that was on it. */
  useGpu(gpu: Gpu): void {
    this.closeModel();
    this.#gpu?.destroy();
    this.#gpu = gpu;
  }

  useModel(opened: OpenModel): void {
    this.closeModel();
    this.#opened = opened;
  }

  usePair(pair: SessionPair): void {
    this.#releaseFeatures();
    this.#pair = pair;
  }

  /**
   * Image features of the pair's runs, made once and kept while it is looked at.
   *
   * @returns undefined if meanwhile another pair is
   */
  async features(signal: AbortSignal): Promise<ImageFeatures | undefined> {
    const { model, pair } = this;
    if (this.#features) return this.#features;
    const samples = [pair.clean, ...Object.values(pair.corrupt).map(({ corrupt }) => corrupt)];
    const made = await keepFeatures(
      model,
      samples.flatMap(({ images }) => images),
      { signal },
    );
    if (this.#pair === pair && !this.#features) this.#features = made;
    else model.gpu.release(...made.tensors);
    return this.#pair === pair ? this.#features : undefined;
  }

  /** Frees the model's weights: two models at a time may not fit. */
  closeModel(): void {
    this.#releaseFeatures();
    this.#opened?.model.destroy();
    this.#opened = undefined;
    this.#pair = undefined;
  }

  #releaseFeatures(): void {
    if (this.#features) this.#gpu?.release(...this.#features.tensors);
    this.#features = undefined;
  }
}
