// The runs of a walk: clean and corrupt runs, and what is derived from them.

import {
  type Frozen,
  ModelRun,
  type Sample,
  sameImages,
  type VisionLanguageModel,
  withOwnImages,
} from '../models/index.ts';
import type { SweepJob } from './cells.ts';
import { corruptionOf } from './corruption.ts';
import type { Intervention } from './intervention.ts';
import { towerOf } from './names.ts';

export type SweepMode = 'wavefront' | 'one-by-one';

/** The runs of a walk. */
export class Batch {
  readonly runs: ModelRun[] = [];
  /** What makes runs corrupt beside their samples. */
  readonly corruptions: Intervention[] = [];
  /** Runs of which only the residual stream differs from the corrupt run's. */
  readonly frozen = new Map<ModelRun, Frozen>();
  readonly #model: VisionLanguageModel;
  readonly #jobs: readonly SweepJob[];
  readonly #mode: SweepMode;
  readonly #roots = new Map<Sample, ModelRun>();
  readonly #bases = new Map<number, { clean: ModelRun; corrupt: ModelRun }>();
  readonly #kept = new Map<object, ModelRun>();

  constructor(model: VisionLanguageModel, jobs: readonly SweepJob[], mode: SweepMode) {
    this.#model = model;
    this.#jobs = jobs;
    this.#mode = mode;
  }

  /** Clean and corrupt run of a pair. */
  bases(pair: number): { clean: ModelRun; corrupt: ModelRun } {
    let bases = this.#bases.get(pair);
    if (!bases) {
      const job = this.#jobs[pair] as SweepJob;
      const { clean, corrupt } = job;
      const cleanRun = this.#root(clean);
      // Where only the text is corrupt, the runs share everything before it.
      const shares = this.#mode === 'wavefront' && sameImages(clean, corrupt);
      const departs = new Set(corruptionOf(this.#model, job).map(({ hook }) => towerOf(hook)));
      const corruptRun = shares
        ? this.#add(new ModelRun(corrupt, cleanRun, departs))
        : departs.size > 0
          ? this.#own(corrupt)
          : this.#root(corrupt);
      this.#corrupt(pair, corruptRun);
      bases = { clean: cleanRun, corrupt: corruptRun };
      this.#bases.set(pair, bases);
    }
    return bases;
  }

  /** A run to patch in some towers: derived from the corrupt run, or one by one a whole run of its own. */
  derive(pair: number, ...towers: string[]): ModelRun {
    const { corrupt } = this.bases(pair);
    if (this.#mode === 'wavefront') return this.#add(new ModelRun(corrupt.sample, corrupt, new Set(towers)));
    const run = this.#own(corrupt.sample);
    this.#corrupt(pair, run);
    return run;
  }

  /**
   * A run derived from the corrupt run whose attention (and MLPs) are frozen there, the same for every call with the same key.
   *
   * @param isNew told of the run when it is made
   */
  frozenRun(
    pair: number,
    key: object,
    { towers, frozen }: { readonly towers: readonly string[]; readonly frozen: Frozen },
    isNew: (run: ModelRun) => void,
  ): ModelRun {
    const known = this.#kept.get(key);
    if (known) return known;
    const run = this.derive(pair, ...towers);
    this.#kept.set(key, run);
    this.frozen.set(run, frozen);
    isNew(run);
    return run;
  }

  #root(sample: Sample): ModelRun {
    let run = this.#roots.get(sample);
    if (!run) {
      run = this.#mode === 'wavefront' ? this.#add(new ModelRun(sample)) : this.#own(sample);
      this.#roots.set(sample, run);
    }
    return run;
  }

  /** A run that shares nothing. */
  #own(sample: Sample): ModelRun {
    return this.#add(new ModelRun(withOwnImages(sample)));
  }

  /** Makes a run corrupt that does not inherit it. */
  #corrupt(pair: number, run: ModelRun): void {
    this.corruptions.push(...corruptionOf(this.#model, this.#jobs[pair] as SweepJob, run));
  }

  #add(run: ModelRun): ModelRun {
    this.runs.push(run);
    return run;
  }
}
