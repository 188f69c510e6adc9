// What the stages of a run share.

import { NoticeError } from '../../errors.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import type { Pair } from '../datasets/pair.ts';
import type { Drop } from '../datasets/report.ts';
import type { KeyedEvaluation } from './answers.ts';
import type { ImageReader, PairImages } from './images.ts';
import { changedInputs } from './keys.ts';
import type { PartRecord, ResultsStore, RunRecord, ShardRecord } from './record.ts';
import type { ExperimentSettings } from './settings.ts';

/** The stages of a run, in their order. */
export const STAGES = ['judge', 'evaluate', 'select', 'measure', 'look'] as const;

export type Stage = (typeof STAGES)[number];

/** Told before a step begins and while it goes on; `done` has fractions where a part is under way. */
export type Progress = (
  step: 'evaluate' | 'plan' | 'measure' | 'attention',
  task: string,
  done: number,
  total: number,
) => void;

/** A manifest as it was read. */
export interface TaskInput {
  readonly task: string;
  /** Rows of the manifest. */
  readonly rows: number;
  readonly pairs: readonly Pair[];
  /** Rows that are no pairs. */
  readonly problems: readonly Drop[];
  /** Paths of generated counterpart images by pair id. */
  readonly generated: ReadonlyMap<string, string>;
}

/** A pair whose question can be asked. */
export interface JudgedPair {
  readonly pair: Pair;
  readonly digests: PairImages;
  /** Path of its generated counterpart image. */
  readonly generated: string | undefined;
  /** Key of its evaluation. */
  readonly key: string;
  readonly correctFirst: boolean;
  /** Whether it can be patched. */
  readonly usable: boolean;
}

/** A pair that was chosen. */
export interface ChosenPair extends JudgedPair {
  readonly answer: string;
}

/** A task on its way through the stages. */
export interface TaskState {
  readonly input: TaskInput;
  /** Pairs that cannot be samples, with the reason. */
  readonly unusable: Drop[];
  /** Pairs that can be asked, in the order in which they are. */
  questions: readonly JudgedPair[];
  /** Answers of the questions that were looked at, in their order. */
  evaluations: readonly KeyedEvaluation[];
  chosen: readonly ChosenPair[];
}

/** A part with what is in it. */
export interface Part extends PartRecord {
  readonly chosen: readonly ChosenPair[];
  /** Standard deviation of image embeddings that its noise is in proportion to. */
  readonly deviation: number;
}

export interface RunContext {
  readonly settings: ExperimentSettings;
  readonly store: ResultsStore;
  readonly record: RunRecord;
  readonly model: VisionLanguageModel;
  readonly processor: Processor;
  readonly reader: ImageReader;
  /** This job's share; undefined if it does all. */
  readonly shard: ShardRecord | undefined;
  /** The last stage that is done. */
  readonly until: Stage;
  /** Asked before every part and batch of questions whether the run shall end. */
  readonly signal: AbortSignal | undefined;
  readonly tasks: readonly TaskState[];
  /** All parts, once the samples are chosen. */
  parts: readonly Part[];
  readonly onProgress: Progress;
  readonly log: (line: string) => void;
}

/**
 * Work on what all processes of a results folder share, while none of the others does any; the record is then as the last of
 * them left it.
 *
 * @throws NoticeError('usage') if another process went on with another model or adapter
 */
export function alone(
  { store, record, log, signal }: RunContext,
  work: () => Promise<void>,
): Promise<unknown> {
  const once = async () => {
    const { inputs, tasks, parts, shard, seconds } = await store.record();
    const changed = inputs && record.inputs ? changedInputs(inputs, record.inputs) : [];
    if (changed.length > 0)
      throw new NoticeError(
        'usage',
        `another process went on in this results folder, for which ${changed.join(' and ')} changed`,
      );
    Object.assign(record, { tasks, parts, shard, seconds });
    await work();
  };
  const wait = (owner: string) => log(`waits for ${owner}, which is at work in this folder`);
  return store.claim('record', once, wait, signal);
}

/** Leaves a pair out of the samples, and says so. */
export function leaveOut({ log }: RunContext, { input, unusable }: TaskState, drop: Drop): void {
  unusable.push(drop);
  log(`${input.task}: ${drop.source} is left out (${drop.reason}): ${drop.detail}`);
}

/** A drop for what is wrong with a pair. */
export function dropOf({ id }: Pair, reason: string, { message }: NoticeError): Drop {
  return { source: id, reason, detail: message };
}
