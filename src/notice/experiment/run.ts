// An experiment from data to measurements. Every step leaves files behind and skips what is already there.

import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { NoticeError } from '../../errors.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { type Pair, readManifest, selectBalanced, textProblem } from '../datasets/index.ts';
import { writeCells } from '../tables/parquet.ts';
import { csvTable } from '../tables/table.ts';
import { saveAttention } from './attention.ts';
import { type Evaluation, evaluatePairs } from './evaluate.ts';
import { generatedImages } from './generated.ts';
import { measure, measurements } from './measure.ts';
import { embeddingDeviation } from './noise.ts';
import { type PreparedPair, paddingToken, preparePair } from './prepare.ts';
import type { ResultsFolder, RunRecord, TaskRecord } from './results.ts';
import { checkTasks, type ExperimentSettings, taskName } from './settings.ts';

/** Samples of a small model that share a part, and its weights at most, in bytes. */
const SMALL_MODEL = { samples: 6, weightBytes: 2 ** 28 };

/**
 * Samples of one part: they go up the model in one walk, and a crash loses those in flight. Those of a small model share it,
 * since none fills an adapter by itself; a large model's is alone, since hours may hang on it.
 */
export function samplesPerPart({ weightBytes }: Pick<VisionLanguageModel, 'weightBytes'>): number {
  return weightBytes <= SMALL_MODEL.weightBytes ? SMALL_MODEL.samples : 1;
}

export type Progress = (
  step: 'evaluate' | 'measure' | 'attention',
  task: string,
  done: number,
  total: number,
) => void;

export interface RunOptions {
  readonly model: VisionLanguageModel;
  readonly processor: Processor;
  /** This job's share of the measurements: number `index` (from 1) of `count`. */
  readonly shard?: { readonly index: number; readonly count: number };
  readonly onProgress?: Progress;
}

/** A sample of the experiment with its place among all of them. */
interface PlacedSample {
  readonly place: number;
  readonly task: string;
  readonly pair: Pair;
  readonly answer: string;
  /** Path of its generated counterpart image. */
  readonly generated: string | undefined;
}

/**
 * Evaluates, selects, and measures.
 *
 * @returns whether everything is measured (with shards, others may still be at it)
 */
export async function runExperiment(
  settings: ExperimentSettings,
  folder: ResultsFolder,
  record: RunRecord,
  { model, processor, shard = { index: 1, count: 1 }, onProgress = () => {} }: RunOptions,
): Promise<boolean> {
  checkTasks(settings.data);
  const samples: PlacedSample[] = [];
  const tasks: TaskRecord[] = [];
  for (const file of settings.data) {
    const task = taskName(file);
    const { pairs } = await readManifest(file);
    const evaluations = await evaluate(folder, task, pairs, model, processor, onProgress);
    const selected = select(pairs, evaluations, settings, task);
    const answers = new Map(evaluations.map(({ id, answer }) => [id, answer]));
    const generated = await generatedImages(task, selected, settings);
    for (const pair of selected) {
      const answer = answers.get(pair.id) ?? pair.correct;
      samples.push({ place: samples.length, task, pair, answer, generated: generated.get(pair.id) });
    }
    tasks.push({
      task,
      pairs: pairs.length,
      correct: evaluations.filter(({ cleanCorrect }) => cleanCorrect).length,
      selected: selected.map(({ id }) => id),
      withoutText:
        paddingToken(model, processor, settings.compat) === undefined ? withoutText(processor, selected) : {},
      ...(settings.corruptions.includes('generated')
        ? { withoutGenerated: selected.flatMap(({ id }) => (generated.has(id) ? [] : [id])) }
        : {}),
    });
  }
  record.tasks = tasks;
  await folder.saveRecord(record);
  const started = performance.now();
  await measureParts(settings, folder, samples, shard, model, processor, onProgress);
  if (shard.index === 1) await attend(settings, folder, samples, model, processor, onProgress);
  record.seconds += (performance.now() - started) / 1000;
  const complete = (await folder.parts()).length === Math.ceil(samples.length / samplesPerPart(model));
  if (complete) record.finished = new Date().toISOString();
  await folder.saveRecord(record);
  return complete;
}

async function evaluate(
  folder: ResultsFolder,
  task: string,
  pairs: readonly Pair[],
  model: VisionLanguageModel,
  processor: Processor,
  onProgress: Progress,
): Promise<Evaluation[]> {
  const names = ['evaluation', `${task}.csv`];
  if (await folder.has(...names)) {
    const known = await readEvaluations(folder.file(...names));
    if (pairs.every(({ id }) => known.some((evaluation) => evaluation.id === id))) return known;
  }
  const evaluations = await evaluatePairs(model, processor, pairs, (done, total) =>
    onProgress('evaluate', task, done, total),
  );
  await folder.write(names, evaluationTable(evaluations));
  return evaluations;
}

function evaluationTable(evaluations: readonly Evaluation[]): string {
  const text = (name: keyof Evaluation) => ({ name, value: (row: Evaluation) => String(row[name]) });
  return csvTable(evaluations, [
    text('id'),
    text('category'),
    text('correct'),
    text('incorrect'),
    text('answer'),
    text('corruptAnswer'),
    text('cleanCorrect'),
    text('corruptIncorrect'),
  ]);
}

export async function readEvaluations(path: string): Promise<Evaluation[]> {
  const rows = parse(await readFile(path, 'utf8'), { columns: true }) as Record<keyof Evaluation, string>[];
  return rows.map((row) => ({
    ...row,
    cleanCorrect: row.cleanCorrect === 'true',
    corruptIncorrect: row.corruptIncorrect === 'true',
  }));
}

/** The samples of a task: pairs that the model answers correctly. */
function select(
  pairs: readonly Pair[],
  evaluations: readonly Evaluation[],
  { select: how, samples, seed }: ExperimentSettings,
  task: string,
): Pair[] {
  const correct = new Set(evaluations.filter(({ cleanCorrect }) => cleanCorrect).map(({ id }) => id));
  const known = pairs.filter(({ id }) => correct.has(id));
  if (known.length === 0)
    throw new NoticeError(
      'data',
      `${task}: the model answers none of the ${pairs.length} questions correctly, so there is nothing to patch. ` +
        'Is the prompt template the right one for this model?',
    );
  if (how === 'first') return known.slice(0, samples);
  return selectBalanced(known, { n: samples, seed, short: 'fewer' }).pairs;
}

/** Samples whose options cannot be replaced token by token. */
function withoutText(processor: Processor, pairs: readonly Pair[]): Record<string, string> {
  const problems = pairs.flatMap((pair): [string, string][] => {
    const problem = textProblem(pair, (question) => processor.prompt(question).encoded);
    return problem ? [[pair.id, problem.detail]] : [];
  });
  return Object.fromEntries(problems);
}

async function measureParts(
  settings: ExperimentSettings,
  folder: ResultsFolder,
  samples: readonly PlacedSample[],
  shard: { readonly index: number; readonly count: number },
  model: VisionLanguageModel,
  processor: Processor,
  onProgress: Progress,
): Promise<void> {
  const prepare = ({ pair, answer, generated }: PlacedSample) =>
    preparePair(model, processor, pair, { answer, compat: settings.compat, generated });
  let deviation: number | undefined;
  const size = samplesPerPart(model);
  for (let first = 0; first < samples.length; first += size) {
    if ((first / size) % shard.count !== shard.index - 1) continue;
    const part = samples.slice(first, first + size);
    const path = await folder.cellsPath(first);
    const controlsFile = ['controls', `${String(first).padStart(7, '0')}.json`];
    if (!(await folder.has('cells', path.replace(/^.*[/\\]/, '')))) {
      const prepared: PreparedPair[] = await Promise.all(part.map(prepare));
      if (settings.corruptions.includes('noise'))
        deviation ??= await embeddingDeviation(
          model,
          (await Promise.all(samples.slice(0, 32).map(prepare))).map(({ clean }) => clean),
        );
      const list = part.flatMap(({ task }, i) =>
        measurements(model, settings, task, prepared[i] as PreparedPair, deviation ?? 0),
      );
      // One cell of the whole experiment's first part is repeated by itself; every part has all other controls.
      const { rows, controls } = await measure(model, settings, list, first === 0 ? 1 : 0);
      await folder.write(controlsFile, JSON.stringify(controls));
      await writeCells(path, rows);
    }
    onProgress('measure', part[0]?.task ?? '', Math.min(first + size, samples.length), samples.length);
  }
}

async function attend(
  settings: ExperimentSettings,
  folder: ResultsFolder,
  samples: readonly PlacedSample[],
  model: VisionLanguageModel,
  processor: Processor,
  onProgress: Progress,
): Promise<void> {
  for (const task of new Set(samples.map((sample) => sample.task))) {
    const names = ['attention', `${task}.safetensors`];
    if (await folder.has(...names)) continue;
    const own = samples.filter((sample) => sample.task === task);
    const prepared = await Promise.all(
      own.map(({ pair, answer }) => preparePair(model, processor, pair, { answer, compat: settings.compat })),
    );
    await folder.write(
      names,
      await saveAttention(model, prepared, (done) => onProgress('attention', task, done, own.length)),
    );
  }
}
