// From measurements to statistics: everything the figures, tables and the report show.

import type { CellMetric, CellRow } from '../../analysis/cell.ts';
import {
  ALL_CATEGORIES,
  CellEffects,
  type Cells,
  type HeadEffects,
  type HeadPosition,
  type ModuleEffects,
  ofCategory,
} from '../../analysis/effects.ts';
import {
  type BoxedAttention,
  type HeadFunctionReport,
  headFunctions,
} from '../../analysis/head-functions.ts';
import { type Interval, wilsonInterval } from '../../analysis/inference.ts';
import { boxCoverage } from '../../analysis/patch-grid.ts';
import { type HeadStatistic, type UniversalHeads, universalHeads } from '../../analysis/universal-heads.ts';
import type { RgbImage } from '../../inputs/index.ts';
import { nodeImages } from '../../platform/node/images.ts';
import { type Pair, readManifest } from '../datasets/index.ts';
import { readCells } from '../tables/parquet.ts';
import type { Evaluation } from './answers.ts';
import type { SampleAttention } from './attention.ts';
import { questionBox } from './boxes.ts';
import { type ExactMatch, isExactMatch } from './exact-match.ts';
import { openImage } from './images.ts';
import { checkFinished, inspect, lacks } from './integrity.ts';
import type { MeasuredControls } from './measure.ts';
import type { ResultsFolder, RunRecord } from './results.ts';
import { type ExperimentSettings, taskName } from './settings.ts';

/** A share of answers with its Wilson interval. */
export interface Share extends Interval {
  readonly correct: number;
  readonly accuracy: number;
}

/** Exact match in the paper's definition (Table 2), of one category of a task; `all` is the whole task. */
export interface Accuracy extends Share {
  readonly task: string;
  readonly category: string;
  readonly n: number;
  /** Exact but for the first letter's case. */
  readonly firstLetter: Share;
  /** Share of counterpart images that turned the answer into the other option. */
  readonly flipped: number;
}

export interface CellAnalysis {
  readonly effects: CellEffects;
  /** What modules and heads are measured by. */
  readonly moduleMetric: CellMetric;
  readonly headMetric: CellMetric;
  /** Of all categories together, then of each. */
  readonly modules: readonly ModuleEffects[];
  /** Of all categories together. */
  readonly heads: readonly HeadEffects[];
  /** Heads at the last position of a causal decoder, apart from those at the answer. */
  readonly lastHeads: readonly HeadEffects[];
  /** Of the semantic corruptions (images by SIP, text by STR), at the answer. */
  readonly universal: UniversalHeads | undefined;
  /** The same at the last position of a causal decoder. */
  readonly lastUniversal: UniversalHeads | undefined;
  readonly controls: readonly MeasuredControls[];
  /** The largest change that rounding alone made, in a metric's unit; undefined if it was not measured. */
  readonly noiseFloor: (metric: CellMetric) => number | undefined;
}

export interface Analysis extends CellAnalysis {
  readonly record: RunRecord;
  /** What the results folder lacks, where that is allowed. */
  readonly missing?: string | undefined;
  readonly accuracy: readonly Accuracy[];
  /** Where heads look from, and what they look at in the few samples that figures show. */
  readonly attentionPosition: HeadPosition;
  readonly attention: ReadonlyMap<string, ReadonlyMap<string, SampleAttention>>;
  /** Per task with boxes. */
  readonly functions: ReadonlyMap<string, HeadFunctionReport>;
  readonly pairs: ReadonlyMap<string, readonly Pair[]>;
}

export interface HeadResults {
  readonly position: HeadPosition;
  readonly heads: readonly HeadEffects[];
  readonly universal: UniversalHeads | undefined;
}

/** The results of single heads by the position they were patched at; positions without any are left out. */
export function headResults({
  heads,
  lastHeads,
  universal,
  lastUniversal,
}: Pick<Analysis, 'heads' | 'lastHeads' | 'universal' | 'lastUniversal'>): HeadResults[] {
  const results: HeadResults[] = [
    { position: 'answer', heads, universal },
    { position: 'last', heads: lastHeads, universal: lastUniversal },
  ];
  return results.filter((result) => result.heads.length > 0);
}

/** Samples of a task whose attention is shown: one takes megabytes. */
const SHOWN_SAMPLES = 3;

/**
 * Reads a results folder.
 *
 * @param options `partial`: takes what there is, and says what is missing
 * @throws NoticeError('data') naming every file that is damaged or missing
 */
export async function analyse(
  folder: ResultsFolder,
  record: RunRecord,
  { partial = false }: { readonly partial?: boolean } = {},
): Promise<Analysis> {
  const { settings, tasks, parts = [] } = record;
  const state = await inspect(folder, record);
  if (!partial) checkFinished(folder, record, state);
  const controls = await folder.controls(state.cells);
  const files = state.cells.map((part) => folder.partFile('cells', part));
  const cells = stream(files, settings.compat.includes('nan-to-zero'));
  const attention = new Map<string, Map<string, SampleAttention>>();
  const functions = new Map<string, HeadFunctionReport>();
  const pairs = new Map<string, Pair[]>();
  for (const { task, selected } of tasks) {
    const file = settings.data.find((path) => taskName(path) === task) ?? '';
    const chosen = new Set(selected);
    const own = (await readManifest(file)).pairs.filter(({ id }) => chosen.has(id));
    pairs.set(task, own);
    const looked = parts.filter((part) => part.task === task && state.attention.includes(part.name));
    const found = await folder.attention(looked.map(({ name }) => name));
    if (found.size === 0) continue;
    const shown = own.slice(0, SHOWN_SAMPLES).flatMap(({ id }): [string, SampleAttention][] => {
      const of = found.get(id);
      return of ? [[id, of]] : [];
    });
    attention.set(task, new Map(shown));
    const report = await functionsOf(task, own, found, record);
    if (report) functions.set(task, report);
  }
  return {
    record,
    missing: lacks(record, state),
    accuracy: await accuracies(folder, record),
    ...(await analyseCells(cells, controls, settings)),
    attentionPosition: record.look ?? 'answer',
    attention,
    functions,
    pairs,
  };
}

/** What is made of measurements alone. */
export async function analyseCells(
  cells: Cells,
  controls: readonly MeasuredControls[],
  { compat, measure, statistic }: Pick<ExperimentSettings, 'compat' | 'measure' | 'statistic'>,
): Promise<CellAnalysis> {
  const asReleased = compat.includes('score-p') ? 'p_patched' : undefined;
  const moduleMetric = asReleased ?? (measure === 'logit-difference' ? 'ld_effect' : 'p_effect');
  const headMetric = asReleased ?? 'ld_effect';
  const effects = await CellEffects.collect(cells);
  const heads = ofCategory(effects.heads(headMetric, 'answer'));
  const lastHeads = ofCategory(effects.heads(headMetric, 'last'));
  return {
    effects,
    moduleMetric,
    headMetric,
    modules: effects.modules(moduleMetric),
    heads,
    lastHeads,
    universal: semanticHeads(heads, statistic),
    lastUniversal: semanticHeads(lastHeads, statistic),
    controls,
    noiseFloor: noiseFloorOf(controls),
  };
}

function semanticHeads(
  effects: readonly HeadEffects[],
  statistic: HeadStatistic,
): UniversalHeads | undefined {
  const semantic = effects.filter(({ corruption }) => corruption === 'sip' || corruption === 'str');
  return semantic.length > 0 ? universalHeads(semantic, statistic) : undefined;
}

/** Controls of an older version do not know the probability's. */
function noiseFloorOf(controls: readonly MeasuredControls[]): Analysis['noiseFloor'] {
  const largest = (floors: readonly (number | undefined)[]) =>
    floors.length === 0 || floors.includes(undefined) ? undefined : Math.max(0, ...(floors as number[]));
  const logitDifference = largest(controls.map(({ noiseFloor }) => noiseFloor));
  const probability = largest(controls.map(({ noiseFloorP }) => noiseFloorP));
  return (metric) =>
    metric === 'ld_effect' ? logitDifference : metric === 'normalized' ? undefined : probability;
}

/** Under `nan-to-zero` undefined normalised effects count as 0. */
async function* stream(parts: readonly string[], nanToZero: boolean): AsyncGenerator<CellRow> {
  for (const part of parts) {
    for await (const cell of readCells(part)) {
      yield nanToZero && cell.normalized === null ? { ...cell, normalized: 0 } : cell;
    }
  }
}

async function accuracies(folder: ResultsFolder, { tasks }: RunRecord): Promise<Accuracy[]> {
  const lists = await Promise.all(
    tasks.map(async ({ task }) => taskAccuracies(task, (await folder.answers(task))?.rows ?? [])),
  );
  return lists.flat();
}

/** Of the whole task, then of each category in alphabetical order. */
export function taskAccuracies(task: string, evaluations: readonly Evaluation[]): Accuracy[] {
  if (evaluations.length === 0) return [];
  const categories = [...new Set(evaluations.map(({ category }) => category))].sort();
  return [
    accuracyOf(task, ALL_CATEGORIES, evaluations),
    ...categories.map((category) =>
      accuracyOf(
        task,
        category,
        evaluations.filter((evaluation) => evaluation.category === category),
      ),
    ),
  ];
}

function accuracyOf(task: string, category: string, evaluations: readonly Evaluation[]): Accuracy {
  const n = evaluations.length;
  const flipped = evaluations.filter(({ corruptIncorrect }) => corruptIncorrect).length / n;
  const share = (definition: ExactMatch): Share => {
    const right = evaluations.filter(({ answer, correct }) =>
      isExactMatch(answer, correct, definition),
    ).length;
    return { correct: right, accuracy: right / n, ...wilsonInterval(right, n) };
  };
  return { task, category, n, flipped, ...share('exact'), firstLetter: share('first-letter') };
}

async function functionsOf(
  task: string,
  pairs: readonly Pair[],
  attention: ReadonlyMap<string, SampleAttention>,
  record: RunRecord,
): Promise<HeadFunctionReport | undefined> {
  const boxed: BoxedAttention[] = [];
  for (const pair of pairs) {
    const found = questionBox(pair);
    const of = attention.get(pair.id);
    if (!found || !of) continue;
    const image = await cleanImage(record, task, pair);
    const coverage = of.grids.map((grid) => boxCoverage(found.box, image, grid, grid.box));
    boxed.push({ attention: of, coverage: Float32Array.from(coverage.flatMap((grid) => [...grid])) });
  }
  return boxed.length > 0 ? headFunctions(boxed, { seed: record.settings.seed }) : undefined;
}

/**
 * The clean image of a sample, as it was in the run.
 *
 * @throws NoticeError('data') if its file has changed since
 */
export async function cleanImage(
  { parts = [] }: RunRecord,
  task: string,
  { id, cleanImage }: Pair,
): Promise<RgbImage> {
  const part = parts.find((one) => one.images && one.task === task && one.samples.includes(id));
  return (await openImage(nodeImages, cleanImage, part?.images?.[part.samples.indexOf(id)])).image;
}
