// What makes a run corrupt beside its sample.

import type { VisionLanguageModel } from '../models/index.ts';
import type { SweepJob } from './cells.ts';
import { add, type Intervention } from './intervention.ts';
import { noImage } from './knockout.ts';

/** @param run the corrupt run; left out, every run of the batch */
export function corruptionOf(
  model: VisionLanguageModel,
  job: Pick<SweepJob, 'corrupt' | 'noise' | 'noImage'>,
  run?: Intervention['run'],
): Intervention[] {
  const { corrupt, noise } = job;
  const of = run === undefined ? {} : { run };
  return [
    ...(noise ? [add({ ...of, hook: noise.hook }, { values: noise.values })] : []),
    ...(job.noImage ? noImage(model, corrupt, of) : []),
  ];
}
