// The runs of a walk: clean and corrupt runs, and what is derived from them.

import { ModelRun, type Sample } from '../models/index.ts';
import type { SweepJob } from './cells.ts';

export type SweepMode = 'wavefront' | 'one-by-one';

/** The runs of a walk. */
export class Batch {
  readonly runs: ModelRun[] = [];
  readonly #jobs: readonly SweepJob[];
  readonly #mode: SweepMode;
  readonly #roots = new Map<Sample, ModelRun>();
  readonly #bases = new Map<number, { clean: ModelRun; corrupt: ModelRun }>();

  constructor(jobs: readonly SweepJob[], mode: SweepMode) {
    this.#jobs = jobs;
    this.#mode = mode;
  }

  /** Clean and corrupt run of a pair. */
  bases(pair: number): { clean: ModelRun; corrupt: ModelRun } {
    let bases = this.#bases.get(pair);
    if (!bases) {
      const { clean, corrupt } = this.#jobs[pair] as SweepJob;
      const cleanRun = this.#root(clean);
      // Where only the text is corrupt, the runs share everything before it.
      const shares = this.#mode === 'wavefront' && corrupt.image === clean.image;
      const corruptRun = shares ? this.#add(new ModelRun(corrupt, cleanRun)) : this.#root(corrupt);
      bases = { clean: cleanRun, corrupt: corruptRun };
      this.#bases.set(pair, bases);
    }
    return bases;
  }

  /** A run to patch: derived from the corrupt run, or one by one a whole run of its own. */
  derive(pair: number, tower: string): ModelRun {
    const { corrupt } = this.bases(pair);
    if (this.#mode === 'wavefront') return this.#add(new ModelRun(corrupt.sample, corrupt, new Set([tower])));
    return this.#add(new ModelRun({ ...corrupt.sample, image: { ...corrupt.sample.image } }));
  }

  #root(sample: Sample): ModelRun {
    let run = this.#roots.get(sample);
    if (!run) {
      run = this.#add(
        new ModelRun(this.#mode === 'wavefront' ? sample : { ...sample, image: { ...sample.image } }),
      );
      this.#roots.set(sample, run);
    }
    return run;
  }

  #add(run: ModelRun): ModelRun {
    this.runs.push(run);
    return run;
  }
}
