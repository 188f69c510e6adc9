// From measurements to statistics: everything the figures, tables and the report show.

import type { CellMetric, CellRow } from '../../analysis/cell.ts';
import {
  CellEffects,
  type Cells,
  HEAD_POSITIONS,
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
import { boxCoverage } from '../../analysis/patch-grid.ts';
import { type HeadStatistic, type UniversalHeads, universalHeads } from '../../analysis/universal-heads.ts';
import { NoticeError } from '../../errors.ts';
import type { RgbImage } from '../../inputs/index.ts';
import { nodeImages } from '../../platform/node/images.ts';
import { type Pair, readManifest } from '../datasets/index.ts';
import { readCells } from '../tables/parquet.ts';
import { type Accuracy, taskAccuracies } from './accuracy.ts';
import type { SeenAttention } from './attention.ts';
import { questionBox } from './boxes.ts';
import { openImage } from './images.ts';
import { checkFinished, inspect, lacks } from './integrity.ts';
import { rowKey } from './keys.ts';
import type { MeasuredControls } from './measure.ts';
import { PromptCollector, type PromptTokens } from './prompts.ts';
import type { ResultsFolder, RunRecord } from './results.ts';
import { type ExperimentSettings, taskName } from './settings.ts';

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
  readonly attention: ReadonlyMap<string, ReadonlyMap<string, SeenAttention>>;
  /** Per task with boxes. */
  readonly functions: ReadonlyMap<string, HeadFunctionReport>;
  readonly pairs: ReadonlyMap<string, readonly Pair[]>;
  /** Of a task's first sample; of tasks whose modules were patched. */
  readonly prompts: ReadonlyMap<string, PromptTokens>;
}

export interface HeadResults {
  readonly position: HeadPosition;
  readonly heads: readonly HeadEffects[];
  readonly universal: UniversalHeads | undefined;
}

/**
 * The results of single heads by the position they were patched at; positions without any are left out.
 *
 * @param measure default the run's own
 */
export function headResults(
  { effects, heads, lastHeads, universal, lastUniversal, headMetric, record }: Analysis,
  measure: CellMetric = headMetric,
): HeadResults[] {
  const results =
    measure === headMetric
      ? [
          { position: 'answer' as const, heads, universal },
          { position: 'last' as const, heads: lastHeads, universal: lastUniversal },
        ]
      : HEAD_POSITIONS.map((position) => {
          const measured = ofCategory(effects.heads(measure, position));
          return { position, heads: measured, universal: semanticHeads(measured, record.settings.statistic) };
        });
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
  const attention = new Map<string, Map<string, SeenAttention>>();
  const functions = new Map<string, HeadFunctionReport>();
  const pairs = new Map<string, Pair[]>();
  for (const { task } of tasks) {
    const own = await selectedPairs(record, task);
    pairs.set(task, own);
    const looked = parts.filter((part) => part.task === task && state.attention.includes(part.name));
    if (looked.length === 0) continue;
    const partOf = new Map(looked.flatMap(({ name, samples }) => samples.map((id) => [id, name])));
    const attentionOf = (id: string) => folder.attention(partOf.get(id) as string, id);
    const shown = new Map<string, SeenAttention>();
    for (const { id } of own.slice(0, SHOWN_SAMPLES))
      if (partOf.has(id)) shown.set(id, await attentionOf(id));
    attention.set(task, shown);
    const seen = own.filter(({ id }) => partOf.has(id));
    const report = await functionsOf(task, seen, attentionOf, record);
    if (report) functions.set(task, report);
  }
  const firsts = [...pairs].flatMap(([task, [first]]) => (first ? [[task, first.id] as const] : []));
  const prompts = new PromptCollector(new Map(firsts));
  return {
    record,
    missing: lacks(record, state),
    accuracy: await accuracies(folder, record),
    ...(await analyseCells(prompts.watch(cells), controls, settings)),
    prompts: prompts.prompts(),
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

/** @param attentionOf one sample's at a time: all of them together may take gigabytes */
async function functionsOf(
  task: string,
  pairs: readonly Pair[],
  attentionOf: (id: string) => Promise<SeenAttention>,
  record: RunRecord,
): Promise<HeadFunctionReport | undefined> {
  const found = pairs.flatMap((pair) => {
    const box = questionBox(pair)?.box;
    return box ? [{ pair, box }] : [];
  });
  if (found.length === 0) return undefined;
  const boxed = async function* (): AsyncGenerator<BoxedAttention> {
    for (const { pair, box } of found) {
      const attention = await attentionOf(pair.id);
      const image = await cleanImage(record, task, pair);
      const coverage = attention.grids.map((grid) => boxCoverage(box, image, grid, grid.box));
      yield { attention, coverage: Float32Array.from(coverage.flatMap((grid) => [...grid])) };
    }
  };
  return headFunctions(boxed(), { seed: record.settings.seed });
}

/**
 * A task's samples in the order of its manifest.
 *
 * @throws NoticeError('data') naming those whose rows are not there any more, or have changed since the run
 */
async function selectedPairs({ settings, tasks, parts = [] }: RunRecord, task: string): Promise<Pair[]> {
  const file = settings.data.find((path) => taskName(path) === task) ?? '';
  const { pairs } = await readManifest(file);
  const selected = new Set(tasks.find((known) => known.task === task)?.selected);
  const own = pairs.filter(({ id }) => selected.has(id));
  const rows = new Map(
    parts
      .filter((part) => part.task === task)
      .flatMap((part) => (part.rows ?? []).map((key, i) => [part.samples[i] as string, key] as const)),
  );
  const changed = new Set(selected);
  for (const pair of own)
    if ((rows.get(pair.id) ?? (await rowKey(pair))) === (await rowKey(pair))) changed.delete(pair.id);
  if (changed.size === 0) return own;
  const names = [...changed].slice(0, 3).join(', ') + (changed.size > 3 ? ', …' : '');
  throw new NoticeError(
    'data',
    `${file} has changed since the run: ${changed.size} of its ${selected.size} samples (${names}) are not what they were. ` +
      'Run it again: what hangs on that is measured anew.',
  );
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
