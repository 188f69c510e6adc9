// A run of the pair as calls of the library take it.

import type { Sample } from '../../models/index.ts';
import type { Intervention } from '../../patching/index.ts';
import type { RunSpec } from '../protocol/reading.ts';
import { interventionsOf } from './interventions.ts';
import { runsOf } from './pair.ts';
import type { Session } from './session.ts';

/** A row of a batch, and what is done to the batch. */
export interface BatchRun {
  readonly samples: readonly Sample[];
  readonly row: number;
  readonly interventions: readonly Intervention[];
}

/**
 * The clean run alone, or a corrupt one as row 1 beside the clean run, which pinned patches take values from.
 *
 * @throws NoticeError('data') if the pair has no such corruption; as `interventionsOf`
 */
export async function batchRun(
  session: Session,
  { run, pins }: RunSpec,
  signal: AbortSignal,
): Promise<BatchRun> {
  const { pair } = session;
  if (run === 'clean') return { samples: [pair.clean], row: 0, interventions: [] };
  return {
    samples: [pair.clean, runsOf(pair, run).corrupt],
    row: 1,
    interventions: await interventionsOf(session, run, pins, signal),
  };
}
