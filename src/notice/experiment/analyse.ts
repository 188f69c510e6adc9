// From measurements to statistics: everything the figures, tables and the report show.

import type { CellMetric, CellRow } from '../../analysis/cell.ts';
import { type HeadEffects, headEffects, type ModuleEffects, moduleEffects } from '../../analysis/effects.ts';
import {
  type BoxedAttention,
  type HeadFunctionReport,
  headFunctions,
} from '../../analysis/head-functions.ts';
import type { ImageAttention } from '../../analysis/image-attention.ts';
import { type Interval, wilsonInterval } from '../../analysis/inference.ts';
import { type CellPlace, type NormalizedEffect, normalizedEffects } from '../../analysis/normalized.ts';
import { boxCoverage, type ImageFit } from '../../analysis/patch-grid.ts';
import { type HeadStatistic, type UniversalHeads, universalHeads } from '../../analysis/universal-heads.ts';
import { readImage } from '../../platform/node/images.ts';
import { type Pair, readManifest } from '../datasets/index.ts';
import { readCells } from '../tables/parquet.ts';
import { readAttention } from './attention.ts';
import { questionBox } from './boxes.ts';
import type { Evaluation } from './evaluate.ts';
import type { MeasuredControls } from './measure.ts';
import type { ResultsFolder, RunRecord } from './results.ts';
import { readEvaluations } from './run.ts';
import { taskName } from './settings.ts';

/** Exact match of one category of a task; `all` is the whole task. */
export interface Accuracy extends Interval {
  readonly task: string;
  readonly category: string;
  readonly n: number;
  readonly correct: number;
  readonly accuracy: number;
  /** Share of counterpart images that turned the answer into the other option. */
  readonly flipped: number;
}

export interface Analysis {
  readonly record: RunRecord;
  readonly accuracy: readonly Accuracy[];
  readonly metric: CellMetric;
  readonly modules: readonly ModuleEffects[];
  readonly heads: readonly HeadEffects[];
  /** Heads at the last position of a causal decoder, apart from those at the answer. */
  readonly lastHeads: readonly HeadEffects[];
  /** Means of the normalised effect. */
  readonly normalized: (place: CellPlace) => NormalizedEffect;
  /** Of the semantic corruptions (images by SIP, text by STR), at the answer. */
  readonly universal: UniversalHeads | undefined;
  /** The same at the last position of a causal decoder. */
  readonly lastUniversal: UniversalHeads | undefined;
  readonly attention: ReadonlyMap<string, ReadonlyMap<string, ImageAttention>>;
  /** Per task with boxes. */
  readonly functions: ReadonlyMap<string, HeadFunctionReport>;
  readonly pairs: ReadonlyMap<string, readonly Pair[]>;
  readonly controls: readonly MeasuredControls[];
  /** The largest change of a logit difference that rounding alone made. */
  readonly noiseFloor: number;
}

/** Where single heads were patched: at the correct option's tokens in the prompt, or at the prompt's last. */
export type HeadPosition = 'answer' | 'last';

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

/** Reads a results folder. */
export async function analyse(folder: ResultsFolder, record: RunRecord): Promise<Analysis> {
  const { settings, tasks } = record;
  const { compat, statistic, data } = settings;
  const metric: CellMetric = compat.includes('score-p') ? 'p_patched' : 'ld_effect';
  const parts = await folder.parts();
  const nanToZero = compat.includes('nan-to-zero');
  const cells = (keep: (cell: CellRow) => boolean) => stream(parts, keep, nanToZero);
  const heads = await headEffects(
    cells(({ head, role }) => head !== null && role !== 'last'),
    metric,
  );
  const lastHeads = await headEffects(
    cells(({ head, role }) => head !== null && role === 'last'),
    metric,
  );
  const attention = new Map<string, Map<string, ImageAttention>>();
  const functions = new Map<string, HeadFunctionReport>();
  const pairs = new Map<string, Pair[]>();
  for (const { task, selected } of tasks) {
    const file = data.find((path) => taskName(path) === task) ?? '';
    const chosen = new Set(selected);
    const own = (await readManifest(file)).pairs.filter(({ id }) => chosen.has(id));
    pairs.set(task, own);
    if (!(await folder.has('attention', `${task}.safetensors`))) continue;
    const found = await readAttention(folder.file('attention', `${task}.safetensors`));
    attention.set(task, found);
    const report = await functionsOf(own, found, record);
    if (report) functions.set(task, report);
  }
  const controls = await folder.controls();
  return {
    record,
    metric,
    accuracy: await accuracies(folder, record),
    modules: await moduleEffects(
      cells(({ head }) => head === null),
      metric,
    ),
    heads,
    lastHeads,
    normalized: await normalizedEffects(cells(() => true)),
    universal: semanticHeads(heads, statistic),
    lastUniversal: semanticHeads(lastHeads, statistic),
    attention,
    functions,
    pairs,
    controls,
    noiseFloor: Math.max(0, ...controls.map(({ noiseFloor }) => noiseFloor)),
  };
}

function semanticHeads(
  effects: readonly HeadEffects[],
  statistic: HeadStatistic,
): UniversalHeads | undefined {
  const semantic = effects.filter(({ corruption }) => corruption === 'sip' || corruption === 'str');
  return semantic.length > 0 ? universalHeads(semantic, statistic) : undefined;
}

/** Under `nan-to-zero` undefined normalised effects count as 0. */
async function* stream(
  parts: readonly string[],
  keep: (cell: CellRow) => boolean,
  nanToZero: boolean,
): AsyncGenerator<CellRow> {
  for (const part of parts) {
    for await (const cell of readCells(part)) {
      if (!keep(cell)) continue;
      yield nanToZero && cell.normalized === null ? { ...cell, normalized: 0 } : cell;
    }
  }
}

async function accuracies(folder: ResultsFolder, { tasks }: RunRecord): Promise<Accuracy[]> {
  const lists = await Promise.all(
    tasks.map(async ({ task }) =>
      taskAccuracies(task, await readEvaluations(folder.file('evaluation', `${task}.csv`))),
    ),
  );
  return lists.flat();
}

/** Of the whole task, then of each category in alphabetical order. */
export function taskAccuracies(task: string, evaluations: readonly Evaluation[]): Accuracy[] {
  const categories = [...new Set(evaluations.map(({ category }) => category))].sort();
  return [
    accuracyOf(task, 'all', evaluations),
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
  const correct = evaluations.filter(({ cleanCorrect }) => cleanCorrect).length;
  const flipped = evaluations.filter(({ corruptIncorrect }) => corruptIncorrect).length / n;
  return { task, category, n, correct, accuracy: correct / n, flipped, ...wilsonInterval(correct, n) };
}

async function functionsOf(
  pairs: readonly Pair[],
  attention: ReadonlyMap<string, ImageAttention>,
  { model, settings }: RunRecord,
): Promise<HeadFunctionReport | undefined> {
  const boxed: BoxedAttention[] = [];
  for (const pair of pairs) {
    const found = questionBox(pair);
    const of = attention.get(pair.id);
    if (!found || !of) continue;
    const image = await readImage(pair.cleanImage);
    const side = Math.round(Math.sqrt(of.patches));
    // BLIP stretches images, CLIP crops their centre.
    const fit: ImageFit = model.family === 'llava' ? 'centre-crop' : 'stretch';
    boxed.push({
      attention: of,
      coverage: boxCoverage(found.box, image, { rows: side, columns: side }, fit),
    });
  }
  return boxed.length > 0 ? headFunctions(boxed, { seed: settings.seed }) : undefined;
}
