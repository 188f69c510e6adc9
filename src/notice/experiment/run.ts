// An experiment from data to measurements, stage by stage: judge, evaluate, select, measure, look. Each leaves its results
// under the key of all that decides them, and computes only what is not there.

import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { paperConventions } from '../conventions.ts';
import { alone, type Progress, type RunContext, STAGES, type Stage, type TaskInput } from './context.ts';
import { evaluateTasks } from './evaluate.ts';
import type { ImageReader } from './images.ts';
import { judgePairs } from './judge.ts';
import { changedInputs, runInputs } from './keys.ts';
import { isComplete, lookAtParts, measureParts } from './parts.ts';
import { planParts } from './plan-parts.ts';
import type { ResultsStore, RunRecord, Shard } from './record.ts';
import { selectSamples } from './select.ts';
import { checkTasks, type ExperimentSettings } from './settings.ts';
import { checkShard, shardOf } from './shards.ts';

export interface RunOptions {
  readonly model: VisionLanguageModel;
  /** Digest of the files that the model was read from. */
  readonly modelDigest: string;
  readonly processor: Processor;
  readonly tasks: readonly TaskInput[];
  readonly reader: ImageReader;
  /** This job's share: of the questions until `evaluate`, else of the measurements. */
  readonly shard?: Shard | undefined;
  /** The last stage that is done; default all. */
  readonly until?: Stage | undefined;
  /** Ends the run before its next part or batch of questions with the reason of the signal; what is done is kept. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: Progress;
  /** Told what a person should know. */
  readonly log?: (line: string) => void;
}

const WORK: Readonly<Record<Stage, (run: RunContext) => Promise<void>>> = {
  judge: judgePairs,
  evaluate: async (run) => void (await alone(run, () => evaluateTasks(run))),
  select: async (run) =>
    void (await alone(run, async () => {
      await selectSamples(run);
      await planParts(run);
    })),
  measure: measureParts,
  look: lookAtParts,
};

/**
 * Runs the stages.
 *
 * @returns whether everything is measured, which a shard never says
 * @throws NoticeError('usage') if `record` is of another shard, or of none that has been cut; the reason of `signal`, after the
 *   part in flight
 */
export async function runExperiment(
  settings: ExperimentSettings,
  store: ResultsStore,
  record: RunRecord,
  options: RunOptions,
): Promise<boolean> {
  checkTasks(settings.data);
  const { model, processor, until = 'look', onProgress = () => {}, log = () => {} } = options;
  const shard = shardOf(options.shard, until);
  checkShard(shard, record);
  const inputs = runInputs(model, processor, options.modelDigest);
  const changed = record.inputs ? changedInputs(record.inputs, inputs) : [];
  if (changed.length > 0)
    log(
      `Since this folder was begun, ${changed.join(' and ')} changed: what hangs on that is computed anew.`,
    );
  const run: RunContext = {
    settings,
    store,
    record,
    model,
    processor,
    reader: options.reader,
    shard,
    signal: options.signal,
    onProgress,
    log,
    until,
    tasks: options.tasks.map((input) => ({
      input,
      unusable: [],
      questions: [],
      evaluations: [],
      chosen: [],
    })),
    parts: [],
  };
  record.inputs = undefined; // whatever the folder was begun with
  await alone(run, async () => {
    const { selectsBy: criterion, attentionPosition } = paperConventions(model);
    Object.assign(record, { inputs, criterion, look: settings.look ?? attentionPosition, shard });
    delete record.finished;
    await store.saveRecord(record);
  });
  let seconds = 0;
  for (const stage of STAGES) {
    const started = performance.now();
    await WORK[stage](run);
    if (stage === 'measure' || stage === 'look') seconds += (performance.now() - started) / 1000;
    if (stage === until) break;
  }
  let complete = false;
  await alone(run, async () => {
    record.seconds += seconds;
    const done = until === (shard?.of === 'questions' ? 'evaluate' : 'look') && (await isComplete(run));
    complete = done && !shard;
    if (complete) record.finished = new Date().toISOString();
    if (shard) record.shard = { ...shard, done };
    await store.saveRecord(record);
  });
  return complete;
}
