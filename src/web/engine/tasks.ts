// What the worker can do, by name.

import type { TaskName, Tasks } from '../protocol.ts';
import { readAttention } from './attention.ts';
import { runBench } from './bench.ts';
import { choosePair } from './choose-pair.ts';
import { generateAnswers } from './generate.ts';
import { readLens } from './lens.ts';
import { patchMany } from './many.ts';
import { storedFiles } from './model-files.ts';
import { openModel, planWeights } from './models.ts';
import { patchPinned } from './patch.ts';
import type { Session } from './session.ts';
import { sweepMaps } from './sweep.ts';
import { runTuning } from './tune.ts';
import { usablePairs } from './usable.ts';

export interface TaskContext<Event> {
  /** Aborts when the page no longer wants the result. */
  readonly signal: AbortSignal;
  /** Tells the page something before the end. */
  readonly emit: (event: Event) => void;
}

type TaskTable = {
  readonly [Name in TaskName]: (
    session: Session,
    args: Tasks[Name]['args'],
    context: TaskContext<Tasks[Name]['event']>,
  ) => Promise<Tasks[Name]['result']>;
};

export const tasks: TaskTable = {
  open: openModel,
  plan: planWeights,
  stored: storedFiles,
  pair: choosePair,
  usable: usablePairs,
  sweep: sweepMaps,
  patch: patchPinned,
  many: patchMany,
  attention: readAttention,
  lens: readLens,
  answers: generateAnswers,
  bench: runBench,
  tune: runTuning,
};
