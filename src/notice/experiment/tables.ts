// The tables of an analysis, as CSV files and as rows for the report.

import type { HeadEffects } from '../analysis/effects.ts';
import { HEAD_FUNCTIONS } from '../analysis/head-functions.ts';
import { type ResamplingOptions, type Summary, signFlipPValue, summarize } from '../analysis/inference.ts';
import type { NormalizedEffect } from '../analysis/normalized.ts';
import { mean } from '../analysis/statistics.ts';
import { headLabel, passCounts } from '../analysis/universal-heads.ts';
import { type Column, csvTable } from '../tables/table.ts';
import type { Accuracy, Analysis } from './analyse.ts';
import type { ResultsFolder } from './results.ts';

/** Resamples of each interval and p-value: a table has hundreds. */
const RESAMPLES = 1999;

export interface EffectRow extends Summary {
  readonly task: string;
  readonly modality: string;
  readonly corruption: string;
  readonly site: string;
  readonly layer: number;
  /** Part of the token in the prompt, for modules. */
  readonly role?: string;
  readonly head?: number;
  /** Mean of the absolute effect, by which heads are ranked. */
  readonly meanAbsolute: number;
  /** Sign-flip permutation test of the mean. */
  readonly p: number;
  readonly normalized: NormalizedEffect;
}

/** One row per task, corruption, site, role and layer. */
export function moduleRows({ modules, normalized, record }: Analysis): EffectRow[] {
  const { seed } = record.settings;
  return modules.flatMap(({ roles, values, task, modality, corruption, site }) =>
    roles.flatMap((role, r) =>
      (values[r] ?? []).flatMap((effects, layer) =>
        effects.length === 0
          ? []
          : [
              {
                task,
                modality,
                corruption,
                site,
                layer,
                role,
                normalized: normalized({ task, corruption, site, layer, head: null, role }),
                ...effect(effects, { seed, resamples: RESAMPLES }),
              },
            ],
      ),
    ),
  );
}

/** One row per task, corruption, layer and head; of a causal decoder then once more at the last position. */
export function headRows({ heads, lastHeads, normalized, record }: Analysis): EffectRow[] {
  const { seed } = record.settings;
  const rows = (effects: readonly HeadEffects[], role: string): EffectRow[] =>
    effects.flatMap(({ values, task, modality, corruption, site }) =>
      values.flatMap((layerHeads, layer) =>
        layerHeads.map((samples, head) => ({
          task,
          modality,
          corruption,
          site,
          layer,
          head,
          normalized: normalized({ task, corruption, site, layer, head, role }),
          ...effect(samples, { seed, resamples: RESAMPLES }),
        })),
      ),
    );
  return [...rows(heads, ''), ...rows(lastHeads, 'last')];
}

function effect(values: readonly number[], options: ResamplingOptions) {
  return {
    ...summarize(values, options),
    meanAbsolute: mean(values.map(Math.abs)),
    p: signFlipPValue(values, options),
  };
}

const EFFECT_COLUMNS: Column<EffectRow>[] = [
  { name: 'n', value: ({ n }) => n },
  { name: 'mean', value: (row) => row.mean },
  { name: 'mean_absolute', value: (row) => row.meanAbsolute },
  { name: 'standard_error', value: (row) => row.standardError },
  { name: 'ci95_low', value: ({ low }) => low },
  { name: 'ci95_high', value: ({ high }) => high },
  { name: 'p', value: ({ p }) => p },
  { name: 'normalized_mean', value: (row) => row.normalized.mean },
  { name: 'normalized_undefined', value: (row) => row.normalized.leftOut },
];

const GROUP_COLUMNS: Column<EffectRow>[] = [
  { name: 'task', value: ({ task }) => task },
  { name: 'modality', value: ({ modality }) => modality },
  { name: 'corruption', value: ({ corruption }) => corruption },
  { name: 'site', value: ({ site }) => site },
  { name: 'layer', value: ({ layer }) => layer },
];

export const ACCURACY_COLUMNS: Column<Accuracy>[] = [
  { name: 'task', value: ({ task }) => task },
  { name: 'category', value: ({ category }) => category },
  { name: 'n', value: ({ n }) => n },
  { name: 'correct', value: ({ correct }) => correct },
  { name: 'accuracy', value: ({ accuracy }) => accuracy },
  { name: 'ci95_low', value: ({ low }) => low },
  { name: 'ci95_high', value: ({ high }) => high },
  { name: 'flipped_by_counterpart', value: ({ flipped }) => flipped },
];

/** Writes tables/*.csv. */
export async function writeTables(folder: ResultsFolder, analysis: Analysis): Promise<string[]> {
  const tables: Record<string, string> = {
    accuracy: csvTable(analysis.accuracy, ACCURACY_COLUMNS),
    modules: csvTable(moduleRows(analysis), [
      ...GROUP_COLUMNS,
      { name: 'role', value: ({ role }) => role },
      ...EFFECT_COLUMNS,
    ]),
    heads: csvTable(headRows(analysis), [
      ...GROUP_COLUMNS,
      { name: 'head', value: ({ head }) => head },
      ...EFFECT_COLUMNS,
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
  readonly modality: string;
  readonly head: string;
  readonly tasks: string;
  readonly universal: boolean;
  readonly class: string;
}

export function universalRows({ universal }: Analysis): UniversalRow[] {
  if (!universal) return [];
  return (['image', 'text'] as const).flatMap((modality) => {
    if (!universal.universal[modality]) return [];
    const all = new Set(universal.universal[modality].map(headLabel));
    return passCounts(universal, modality).map(({ head, tasks }) => {
      const label = headLabel(head);
      const found = Object.entries(universal.classes ?? {}).find(([, heads]) =>
        heads.some((other) => headLabel(other) === label),
      );
      return {
        modality,
        head: label,
        tasks: tasks.join(' '),
        universal: all.has(label),
        class: all.has(label) ? (found?.[0] ?? '') : '',
      };
    });
  });
}

function universalTables(analysis: Analysis): Record<string, string> {
  if (!analysis.universal) return {};
  const { selections } = analysis.universal;
  return {
    universal_heads: csvTable(universalRows(analysis), [
      { name: 'modality', value: ({ modality }) => modality },
      { name: 'head', value: ({ head }) => head },
      { name: 'passes_in_tasks', value: ({ tasks }) => tasks },
      { name: 'universal', value: ({ universal }) => String(universal) },
      { name: 'class', value: (row) => row.class },
    ]),
    head_thresholds: csvTable(selections, [
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
    ...HEAD_FUNCTIONS.flatMap((name): Column<Row>[] => [
      { name: `${name.replace(' ', '_')}_score`, value: ({ scores }) => scores[name]?.mean },
      { name: `${name.replace(' ', '_')}_p_adjusted`, value: ({ scores }) => scores[name]?.pAdjusted },
    ]),
  ];
  return { head_functions: csvTable(rows, columns) };
}
