// The tables of an analysis, as CSV files and as rows for the report.

import type { CellMetric, Modality } from '../../analysis/cell.ts';
import { type HeadCorrelation, headCorrelations } from '../../analysis/comparison.ts';
import { type EffectSummary, summarizeEffects } from '../../analysis/effect-summary.ts';
import {
  HEAD_POSITIONS,
  type HeadEffects,
  type HeadPosition,
  type ModuleEffects,
  type PlaceMean,
} from '../../analysis/effects.ts';
import { HEAD_FUNCTIONS } from '../../analysis/head-functions.ts';
import { headLabel, passCounts, type UniversalHeads } from '../../analysis/universal-heads.ts';
import { type Column, csvTable } from '../tables/table.ts';
import type { Accuracy, Share } from './accuracy.ts';
import { type Analysis, headResults } from './analyse.ts';
import type { ExactMatch } from './exact-match.ts';
import type { ResultsFolder } from './results.ts';

export interface EffectRow extends EffectSummary {
  /** What `mean` and the columns behind it are of. */
  readonly measure: CellMetric;
  /** The means of all measures. */
  readonly probability: PlaceMean;
  readonly logitDifference: PlaceMean;
  readonly normalized: PlaceMean;
}

/** Names of the measures in tables. */
export const MEASURE_NAMES: Readonly<Record<CellMetric, string>> = {
  p_patched: 'patched_probability',
  p_effect: 'restoration_probability',
  ld_effect: 'logit_difference',
  normalized: 'normalized',
};

export interface HeadRow extends EffectRow {
  readonly position: HeadPosition;
}

/** One row per task, category, corruption, site, role and layer. */
export function moduleRows(analysis: Analysis): EffectRow[] {
  return effectRows(analysis, analysis.modules, analysis.moduleMetric);
}

/** One row per position, task, category, corruption, layer and head. */
export function headRows(analysis: Analysis): HeadRow[] {
  const { effects, headMetric } = analysis;
  return HEAD_POSITIONS.flatMap((position) =>
    effectRows(analysis, effects.heads(headMetric, position), headMetric, position).map((row) => ({
      ...row,
      position,
    })),
  );
}

function effectRows(
  { effects, record }: Analysis,
  groups: readonly (ModuleEffects | HeadEffects)[],
  measure: CellMetric,
  position?: HeadPosition,
): EffectRow[] {
  return groups
    .flatMap((group) => summarizeEffects(group, { seed: record.settings.seed }))
    .map((row) => ({
      ...row,
      measure,
      probability: effects.mean(row, 'p_effect', position),
      logitDifference: effects.mean(row, 'ld_effect', position),
      normalized: effects.mean(row, 'normalized', position),
    }));
}

export interface CorrelationRow extends HeadCorrelation {
  readonly position: HeadPosition;
}

/** How similarly every two corruptions of a task rank its heads. */
export function correlationRows(analysis: Analysis): CorrelationRow[] {
  return headResults(analysis).flatMap(({ position, heads }) =>
    headCorrelations(heads, analysis.record.settings.statistic).map((row) => ({ ...row, position })),
  );
}

const EFFECT_COLUMNS: Column<EffectRow>[] = [
  { name: 'measure', value: ({ measure }) => MEASURE_NAMES[measure] },
  { name: 'n', value: ({ n }) => n },
  { name: 'mean', value: (row) => row.mean },
  { name: 'mean_absolute', value: (row) => row.meanAbsolute },
  { name: 'standard_error', value: (row) => row.standardError },
  { name: 'ci95_low', value: ({ low }) => low },
  { name: 'ci95_high', value: ({ high }) => high },
  { name: 'p', value: ({ p }) => p },
  { name: 'p_adjusted', value: ({ pAdjusted }) => pAdjusted },
  { name: 'restoration_probability_mean', value: (row) => row.probability.mean },
  { name: 'logit_difference_mean', value: (row) => row.logitDifference.mean },
  { name: 'normalized_mean', value: (row) => row.normalized.mean },
  { name: 'normalized_undefined', value: (row) => row.normalized.leftOut },
];

const GROUP_COLUMNS: Column<EffectRow>[] = [
  { name: 'task', value: ({ task }) => task },
  { name: 'category', value: ({ category }) => category },
  { name: 'modality', value: ({ modality }) => modality },
  { name: 'corruption', value: ({ corruption }) => corruption },
  { name: 'site', value: ({ site }) => site },
  { name: 'layer', value: ({ layer }) => layer },
];

/** Exact match by one of its definitions, as CSV. Each has a table, of the same columns. */
export function accuracyTable(rows: readonly Accuracy[], definition: ExactMatch): string {
  const shareOf = (row: Accuracy): Share => (definition === 'exact' ? row : row.firstLetter);
  return csvTable(rows, [
    { name: 'task', value: ({ task }) => task },
    { name: 'category', value: ({ category }) => category },
    { name: 'n', value: ({ n }) => n },
    { name: 'correct', value: (row) => shareOf(row).correct },
    { name: 'accuracy', value: (row) => shareOf(row).accuracy },
    { name: 'ci95_low', value: (row) => shareOf(row).low },
    { name: 'ci95_high', value: (row) => shareOf(row).high },
    { name: 'flipped_by_counterpart', value: ({ flipped }) => flipped },
  ]);
}

/** Writes tables/*.csv. */
export async function writeTables(folder: ResultsFolder, analysis: Analysis): Promise<string[]> {
  const tables: Record<string, string> = {
    accuracy: accuracyTable(analysis.accuracy, 'exact'),
    accuracy_first_letter: accuracyTable(analysis.accuracy, 'first-letter'),
    modules: csvTable(moduleRows(analysis), [
      ...GROUP_COLUMNS,
      { name: 'role', value: ({ role }) => role },
      ...EFFECT_COLUMNS,
    ]),
    heads: csvTable(headRows(analysis), [
      ...GROUP_COLUMNS,
      { name: 'head', value: ({ head }) => head },
      { name: 'position', value: ({ position }) => position },
      ...EFFECT_COLUMNS,
    ]),
    head_correlations: csvTable(correlationRows(analysis), [
      { name: 'task', value: ({ task }) => task },
      { name: 'site', value: ({ site }) => site },
      { name: 'position', value: ({ position }) => position },
      { name: 'corruption', value: ({ corruptions: [a] }) => a },
      { name: 'other_corruption', value: ({ corruptions: [, b] }) => b },
      { name: 'spearman', value: ({ rho }) => rho },
      { name: 'heads', value: ({ heads }) => heads },
    ]),
    ...universalTables(analysis),
    ...functionTable(analysis),
  };
  const paths = Object.keys(tables).map((name) => ['tables', `${name}.csv`]);
  for (const path of paths)
    await folder.write(path, tables[(path[1] as string).replace('.csv', '')] as string);
  return paths.map((path) => path.join('/'));
}

/** A head that passes in some task, and whether it is universal. */
export interface UniversalRow {
  readonly position: HeadPosition;
  readonly modality: string;
  readonly head: string;
  readonly tasks: string;
  readonly universal: boolean;
  readonly class: string;
}

export function universalRows(analysis: Analysis): UniversalRow[] {
  return headResults(analysis).flatMap(({ position, universal }) =>
    universal
      ? (['image', 'text'] as const).flatMap((modality) => passingRows(universal, modality, position))
      : [],
  );
}

function passingRows(result: UniversalHeads, modality: Modality, position: HeadPosition): UniversalRow[] {
  const found = result.universal[modality];
  if (!found) return [];
  const all = new Set(found.map(headLabel));
  return passCounts(result, modality).map(({ head, tasks }) => {
    const label = headLabel(head);
    const [name = ''] =
      Object.entries(result.classes ?? {}).find(([, heads]) =>
        heads.some((other) => headLabel(other) === label),
      ) ?? [];
    return {
      position,
      modality,
      head: label,
      tasks: tasks.join(' '),
      universal: all.has(label),
      class: all.has(label) ? name : '',
    };
  });
}

function universalTables(analysis: Analysis): Record<string, string> {
  const selections = headResults(analysis).flatMap(({ position, universal }) =>
    (universal?.selections ?? []).map((selection) => ({ position, ...selection })),
  );
  if (selections.length === 0) return {};
  return {
    universal_heads: csvTable(universalRows(analysis), [
      { name: 'position', value: ({ position }) => position },
      { name: 'modality', value: ({ modality }) => modality },
      { name: 'head', value: ({ head }) => head },
      { name: 'passes_in_tasks', value: ({ tasks }) => tasks },
      { name: 'universal', value: ({ universal }) => String(universal) },
      { name: 'class', value: (row) => row.class },
    ]),
    head_thresholds: csvTable(selections, [
      { name: 'position', value: ({ position }) => position },
      { name: 'task', value: ({ task }) => task },
      { name: 'modality', value: ({ modality }) => modality },
      { name: 'n', value: ({ n }) => n },
      { name: 'mean', value: (row) => row.mean },
      { name: 'sd', value: ({ sd }) => sd },
      { name: 'threshold', value: ({ threshold }) => threshold },
      { name: 'passing', value: ({ passing }) => passing.map(headLabel).join(' ') },
    ]),
  };
}

function functionTable({ functions }: Analysis): Record<string, string> {
  const rows = [...functions].flatMap(([task, { heads }]) => heads.map((head) => ({ task, ...head })));
  if (rows.length === 0) return {};
  type Row = (typeof rows)[number];
  const columns: Column<Row>[] = [
    { name: 'task', value: ({ task }) => task },
    { name: 'head', value: (row) => headLabel(row) },
    { name: 'class', value: (row) => row.class },
    { name: 'attention_in_box', value: ({ evidence }) => evidence.inside },
    { name: 'average_head_in_box', value: ({ evidence }) => evidence.averageInside },
    { name: 'chance', value: ({ evidence }) => evidence.chance },
    { name: 'lift_over_chance', value: ({ evidence }) => evidence.lift },
    { name: 'outlier_share', value: ({ evidence }) => evidence.outlierShare },
    { name: 'average_head_outlier_share', value: ({ evidence }) => evidence.averageOutlierShare },
    { name: 'entropy', value: ({ evidence }) => evidence.entropy },
    ...HEAD_FUNCTIONS.flatMap((name): Column<Row>[] => [
      { name: `${name.replace(' ', '_')}_score`, value: ({ scores }) => scores[name]?.mean },
      { name: `${name.replace(' ', '_')}_p_adjusted`, value: ({ scores }) => scores[name]?.pAdjusted },
    ]),
  ];
  return { head_functions: csvTable(rows, columns) };
}
