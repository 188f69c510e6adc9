// The paper's Tables 1 to 3 beside what a run found.

import { ALL_CATEGORIES, type HeadEffects } from '../../analysis/effects.ts';
import type { HeadFunctionReport, HeadFunctionScores } from '../../analysis/head-functions.ts';
import { type Interval, summarizeAll } from '../../analysis/inference.ts';
import {
  HEAD_CLASSES,
  type Head,
  type HeadClass,
  type HeadSelection,
  headLabel,
  type UniversalHeads,
} from '../../analysis/universal-heads.ts';
import type { Share } from '../experiment/accuracy.ts';
import { type Analysis, headResults } from '../experiment/analyse.ts';
import { formatNumber } from '../tables/format.ts';
import type { Column } from '../tables/table.ts';
import type { PaperTaskName, PublishedHead, PublishedResults } from './published.ts';

/** A table for pages and terminals. */
export interface PaperTable {
  readonly caption: string;
  readonly columns: readonly Column<readonly string[]>[];
  readonly rows: readonly (readonly string[])[];
}

/** Tables 1 to 3; a table for which the run has nothing keeps the published side. */
export function paperTables(published: PublishedResults, analysis: Analysis): PaperTable[] {
  return [
    headTable(published, analysis),
    accuracyTable(published, analysis),
    functionTable(published, analysis),
  ];
}

/** A head that is universal in the paper or here. */
export interface ComparedHead {
  /** "L3.H0" */
  readonly head: string;
  readonly published: PublishedHead | undefined;
  /** Here; undefined if not both modalities were run on the same tasks. */
  readonly class: HeadClass | 'not universal' | undefined;
}

/** The published heads in the paper's order, then the others that are universal here. */
export function compareHeads(published: PublishedResults, ours: UniversalHeads | undefined): ComparedHead[] {
  const known = new Map(published.heads.map((head) => [head.head, head]));
  const found = [...(ours?.universal.image ?? []), ...(ours?.universal.text ?? [])].map(headLabel);
  return [...new Set([...known.keys(), ...found])].map((head) => ({
    head,
    published: known.get(head),
    class: ours?.classes && classOf(ours.classes, head),
  }));
}

function headTable(published: PublishedResults, analysis: Analysis): PaperTable {
  const ours = headResults(analysis).find(({ position }) => position === published.position);
  const selections = ours?.universal?.selections ?? [];
  const rows = compareHeads(published, ours?.universal).map((row) => [
    row.head,
    row.published ? [row.published.class, row.published.note].filter(Boolean).join('; ') : 'not universal',
    row.class ?? '–',
    ...selections.map((selection) => headScoreText(selection, ours?.heads ?? [], row.head)),
  ]);
  return table(
    'Table 1, universal heads. Here: mean |LD′ − LD*| with its 95 % interval; ✓ where it reaches the mean + 2 standard deviations of all heads',
    [
      'head',
      'paper',
      'here',
      ...selections.map(({ task, modality, n }) => `${task}, ${modality} (n = ${n})`),
    ],
    rows,
  );
}

/** A head's score in one task and modality. */
function headScoreText(
  { task, modality, passing }: HeadSelection,
  effects: readonly HeadEffects[],
  head: string,
): string {
  const of = effects.find(
    (entry) =>
      entry.task === task &&
      entry.modality === modality &&
      (entry.corruption === 'sip' || entry.corruption === 'str'),
  );
  const [, layer, number] = /^L(\d+)\.H(\d+)$/.exec(head) ?? [];
  const values = of?.values[Number(layer)]?.[Number(number)];
  if (!values) return 'no such head';
  const [score] = summarizeAll([values.map(Math.abs)]);
  return `${withInterval(score!.mean, score!)}${includes(passing, head) ? ' ✓' : ''}`;
}

function accuracyTable({ accuracy: paper }: PublishedResults, { accuracy }: Analysis): PaperTable {
  const share = ({ accuracy: value, low, high }: Share) =>
    `${withInterval(100 * value, { low: 100 * low, high: 100 * high })} %`;
  const tasks = new Set([...Object.keys(paper), ...accuracy.map(({ task }) => task)]);
  return table(
    'Table 2, exact match, with 95 % intervals',
    ['task', 'paper', 'here', "here, but for the first letter's case", 'questions'],
    [...tasks].map((task) => {
      const own = accuracy.find((row) => row.task === task && row.category === ALL_CATEGORIES);
      return [
        task,
        task in paper ? `${paper[task as PaperTaskName].toFixed(2)} %` : '–',
        ...(own ? [share(own), share(own.firstLetter), String(own.n)] : ['not run', 'not run', '–']),
      ];
    }),
  );
}

function functionTable(
  { functions: paper, functionsSource }: PublishedResults,
  { functions, record }: Analysis,
): PaperTable {
  const rows = paper.flatMap(({ function: name, heads }) =>
    record.tasks.flatMap(({ task }) => {
      const named = heads[task as PaperTaskName];
      if (!named) return [];
      const found = functions.get(task);
      const score = (head: HeadFunctionScores) => {
        const own = head.scores[name];
        const text = own ? `${head.class}, score ${withInterval(own.mean, own)}` : head.class;
        return `${headLabel(head)}: ${text}`;
      };
      return [
        [
          name,
          task,
          named.join(', ') || 'N/A',
          found
            ? found.heads
                .filter((head) => named.includes(headLabel(head)))
                .map(score)
                .join('; ') || '–'
            : 'no boxes in the data',
          found ? withFunction(found, name) : '–',
          found ? String(found.samples) : '–',
        ],
      ];
    }),
  );
  return table(
    `Functions of universal heads (${functionsSource}). Here: by the scores of docs/metrics.md, with 95 % intervals`,
    ['function', 'task', 'paper', "the paper's heads here", 'heads with this function here', 'samples'],
    rows,
  );
}

/** The heads of a class, the strongest first; a few of them by name. */
function withFunction({ heads }: HeadFunctionReport, name: HeadFunctionScores['class']): string {
  const own = heads.filter((head) => head.class === name && name !== 'none');
  const strength = (head: HeadFunctionScores) => (name === 'none' ? 0 : (head.scores[name]?.mean ?? 0));
  const names = own.sort((a, b) => strength(b) - strength(a)).map(headLabel);
  const shown = names.slice(0, 6).join(', ');
  return names.length > 6 ? `${shown} and ${names.length - 6} more` : shown || 'none';
}

function table(caption: string, names: readonly string[], rows: readonly string[][]): PaperTable {
  return { caption, columns: names.map((name, i) => ({ name, value: (row) => row[i] ?? '' })), rows };
}

function withInterval(value: number, { low, high }: Interval): string {
  return `${formatNumber(value)} (${formatNumber(low)} to ${formatNumber(high)})`;
}

function classOf(classes: NonNullable<UniversalHeads['classes']>, head: string): HeadClass | 'not universal' {
  return HEAD_CLASSES.find((name) => includes(classes[name], head)) ?? 'not universal';
}

function includes(heads: readonly Head[], label: string): boolean {
  return heads.some((head) => headLabel(head) === label);
}
