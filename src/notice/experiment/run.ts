// An experiment from data to measurements, stage by stage: judge, evaluate, select, measure, look. Each leaves its results
// under the key of all that decides them, and computes only what is not there.

import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { paperConventions } from '../conventions.ts';
import { type Progress, type RunContext, STAGES, type Stage, type TaskInput } from './context.ts';
import { evaluateTasks } from './evaluate.ts';
import type { ImageReader } from './images.ts';
import { judgePairs } from './judge.ts';
import { adapterClass, changedInputs, RESULTS_VERSION } from './keys.ts';
import { isComplete, lookAtParts, measureParts } from './parts.ts';
import type { ResultsStore, RunRecord, Shard } from './record.ts';
import { selectSamples } from './select.ts';
import { checkTasks, type ExperimentSettings } from './settings.ts';

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
  readonly onProgress?: Progress;
  /** Told what a person should know. */
  readonly log?: (line: string) => void;
}

const WORK: Readonly<Record<Stage, (run: RunContext) => Promise<void>>> = {
  judge: judgePairs,
  evaluate: evaluateTasks,
  select: selectSamples,
  measure: measureParts,
  look: lookAtParts,
};

/**
 * Runs the stages.
 *
 * @returns whether everything is measured (with shards, others may still be at it)
 */
export async function runExperiment(
  settings: ExperimentSettings,
  store: ResultsStore,
  record: RunRecord,
  options: RunOptions,
): Promise<boolean> {
  checkTasks(settings.data);
  const { model, processor, shard, until = 'look', onProgress = () => {}, log = () => {} } = options;
  const inputs = {
    results: RESULTS_VERSION,
    model: options.modelDigest,
    adapter: adapterClass(model.gpu.capabilities),
    template: processor.template,
  };
  const changed = record.inputs ? changedInputs(record.inputs, inputs) : [];
  if (changed.length > 0)
    log(
      `Since this folder was begun, ${changed.join(' and ')} changed: what hangs on that is computed anew.`,
    );
  record.inputs = inputs;
  const { selectsBy, attentionPosition } = paperConventions(model);
  record.criterion = selectsBy;
  record.look = settings.look ?? attentionPosition;
  if (processor.warnings.length > 0) record.warnings = processor.warnings;
  delete record.finished;
  const run: RunContext = {
    settings,
    store,
    record,
    model,
    processor,
    reader: options.reader,
    shard,
    onProgress,
    log,
    sharedEvaluation: shard !== undefined && until === 'evaluate',
    tasks: options.tasks.map((input) => ({
      input,
      unusable: [],
      questions: [],
      evaluations: [],
      chosen: [],
    })),
  };
  for (const stage of STAGES) {
    const started = performance.now();
    await WORK[stage](run);
    if (stage === 'measure' || stage === 'look') record.seconds += (performance.now() - started) / 1000;
    if (stage === until) break;
  }
  const complete = until === 'look' && (await isComplete(run));
  if (complete) record.finished = new Date().toISOString();
  await store.saveRecord(record);
  return complete;
}
