// The fastest kernels of this device, as `notice bench --tune` finds them.

import { type TuningResult, tuneKernels } from '../../bench/index.ts';
import { writeTuning } from '../../platform/browser/tuning.ts';
import type { BenchSpec, TuningReport } from '../protocol/reading.ts';
import { describeDevice } from './bench.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** Measures every candidate and keeps the winners: the device takes them when the page is opened again. */
export async function runTuning(
  session: Session,
  { rounds }: BenchSpec,
  { signal, emit }: TaskContext<TuningReport>,
): Promise<TuningReport> {
  const { gpu } = session.opened.model;
  const machine = describeDevice(gpu);
  const soFar: TuningResult[] = [];
  const { table, results } = await tuneKernels(gpu, {
    rounds,
    signal,
    onResult: (result) => {
      soFar.push(result);
      emit({ machine, results: [...soFar] });
    },
  });
  await writeTuning(gpu.capabilities, table);
  return { machine, results };
}
