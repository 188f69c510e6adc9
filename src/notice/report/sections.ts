// The sections of a report: the paper's tables and figures for one run.

import { basename } from 'node:path';
import { METRIC_LABELS } from '../../analysis/cell.ts';
import { summarizeAll } from '../../analysis/inference.ts';
import { describeUniversalHeads, headLabel } from '../../analysis/universal-heads.ts';
import type { ImageBackend } from '../../inputs/index.ts';
import type { Share } from '../experiment/accuracy.ts';
import { type Analysis, headResults } from '../experiment/analyse.ts';
import { EXACT_MATCH_NAMES } from '../experiment/exact-match.ts';
import type { Figure } from '../experiment/figure.ts';
import { headFigureName } from '../experiment/figures.ts';
import { rankedHeads } from '../experiment/ranking.ts';
import { correlationRows, universalRows } from '../experiment/tables.ts';
import { CORRUPTION_NAMES, POSITION_NAMES } from '../experiment/titles.ts';
import { formatNumber } from '../tables/format.ts';
import type { Column } from '../tables/table.ts';
import { figureHtml, figuresOf, measureChoice } from './figure.ts';
import { html, type Markup } from './html.ts';
import { promptSection } from './prompt.ts';
import { htmlTable } from './table.ts';

const BACKEND_NAMES: Readonly<Record<ImageBackend, string>> = {
  torchvision: 'torchvision',
  pil: 'Pillow 13 (pil)',
  'pil-12': 'Pillow 12 (pil-12)',
};

export function settingsSection({ record }: Analysis): Markup {
  const { settings, model, adapter, version, started, finished, seconds, tasks } = record;
  const rows: [string, string][] = [
    [
      'Model',
      `${basename(settings.model)} (${model.family}, ${Math.round(model.weightBytes / 1024 ** 2)} MiB of weights)`,
    ],
    ['Weights stored', settings.dtype ?? 'as in the file'],
    ['Tasks', tasks.map(({ task, selected }) => `${task} (${selected.length} samples)`).join(', ')],
    ['Prompt template', record.inputs?.template ?? settings.template ?? "the model's"],
    ['Pictures resized by', BACKEND_NAMES[record.inputs?.imageBackend ?? 'pil-12']],
    ['Samples', `pairs answered right: ${EXACT_MATCH_NAMES[record.criterion ?? 'exact']}`],
    ['Corruptions', settings.corruptions.map((name) => CORRUPTION_NAMES[name]).join(', ')],
    ['Modules', settings.moduleSites.join(', ')],
    ['Heads', settings.headSite],
    ['Attention', record.look === 'last' ? "from the prompt's last position" : 'from the correct option'],
    [
      'Selection',
      settings.select === 'balanced'
        ? `balanced by answer order, seed ${settings.seed}`
        : 'first in the file',
    ],
    ['Head statistic', settings.statistic === 'absolute' ? 'mean of |LD′ − LD*|' : 'mean of LD′ − LD*'],
    ['Compat switches', settings.compat.join(', ') || "none: the paper's definitions"],
    ['Device', settings.subgroupMatrices ? `${adapter}, products on subgroup matrices` : adapter],
    [
      'Run',
      `notice ${version}, begun ${started}, ${Math.round(seconds)} s of measuring${finished ? '' : '; not finished: samples are missing'}`,
    ],
  ];
  return html`<dl>${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

/** Module maps in the measure that one chooses; those by category, which are many, when they are asked for. */
export function modulesSection(analysis: Analysis, figures: readonly Figure[]): Markup {
  const own = figures.filter(({ name }) => name.startsWith('modules-'));
  const whole = analysis.record.settings.corruptions.map((corruption) => `modules-${corruption}`);
  const byCategory = own.filter(({ name }) => !whole.includes(name));
  return html`${promptSection(analysis)}${measureChoice('modules', own)}
${whole.map((name) => figuresOf(own, name))}
${byCategory.length > 0 ? html`<details class="more"><summary>The same by category</summary>${byCategory.map(figureHtml)}</details>` : ''}`;
}

export function accuracySection({ accuracy }: Analysis, figures: readonly Figure[]): Markup {
  return html`${figuresOf(figures, 'accuracy')}
${htmlTable('Exact match with 95 % Wilson intervals (Table 2)', accuracy, [
  { name: 'task', value: ({ task }) => task },
  { name: 'category', value: ({ category }) => category },
  { name: 'questions', value: ({ n }) => n },
  { name: EXACT_MATCH_NAMES.exact, value: (row) => shareText(row) },
  { name: EXACT_MATCH_NAMES['first-letter'], value: ({ firstLetter }) => shareText(firstLetter) },
  { name: 'flipped by the counterpart image', value: ({ flipped }) => flipped },
])}`;
}

function shareText({ accuracy, low, high }: Share): string {
  return `${formatNumber(accuracy)} (${formatNumber(low)} to ${formatNumber(high)})`;
}

export function universalSection(analysis: Analysis, figures: readonly Figure[]): Markup {
  const results = headResults(analysis).flatMap(({ position, universal }) =>
    universal ? [{ position, universal }] : [],
  );
  if (results.length === 0)
    return html`<p>No head was patched under a semantic corruption (SIP or STR), so there are no universal heads.</p>`;
  const maps = figures.filter(({ name }) => name === 'heads' || name === 'heads-last');
  return html`${measureChoice('heads', maps)}${results.map(({ position, universal }) => {
    const rows = universalRows(analysis).filter((row) => row.position === position);
    const place = POSITION_NAMES[position];
    return html`${figuresOf(figures, headFigureName(position))}
<p>At ${place}: ${describeUniversalHeads(universal, 'image')} ${describeUniversalHeads(universal, 'text')}</p>
${
  rows.length === 0
    ? html`<p>No head reaches mean + 2 standard deviations in any task.</p>`
    : htmlTable(`Heads at or above mean + 2 standard deviations (Tables 1 and 3), ${place}`, rows, [
        { name: 'modality', value: ({ modality }) => modality },
        { name: 'head', value: ({ head }) => head },
        { name: 'passes in', value: ({ tasks }) => tasks },
        { name: 'universal', value: (row) => (row.universal ? 'yes' : 'no') },
        { name: 'class', value: (row) => row.class || '–' },
      ])
}
${htmlTable(`Thresholds, ${place}`, universal.selections, [
  { name: 'task', value: ({ task }) => task },
  { name: 'modality', value: ({ modality }) => modality },
  { name: 'n', value: ({ n }) => n },
  { name: 'mean', value: (row) => row.mean },
  { name: 'sd', value: ({ sd }) => sd },
  { name: 'threshold', value: ({ threshold }) => threshold },
  { name: 'passing', value: ({ passing }) => passing.map(headLabel).join(', ') || '–' },
])}`;
  })}`;
}

/** How similarly two corruptions rank the heads of a task. */
export function comparisonSection(analysis: Analysis, figures: readonly Figure[]): Markup {
  const rows = correlationRows(analysis);
  const profiles = figures.filter(({ name }) => name.startsWith('corruptions-'));
  return html`${measureChoice('corruptions', profiles)}${profiles.map(figureHtml)}
${
  rows.length > 0
    ? htmlTable('Rank correlation (Spearman) of head scores between corruptions', rows, [
        { name: 'task', value: ({ task }) => task },
        { name: 'heads patched at', value: ({ position }) => POSITION_NAMES[position] },
        { name: 'corruption', value: ({ corruptions: [a] }) => CORRUPTION_NAMES[a] },
        { name: 'and', value: ({ corruptions: [, b] }) => CORRUPTION_NAMES[b] },
        { name: 'ρ', value: ({ rho }) => rho },
      ])
    : html`<p>Only one corruption was run.</p>`
}`;
}

/** The five strongest heads of every task, corruption and position, by what they are ranked by. */
export function headsSection(analysis: Analysis): Markup {
  const { record, headMetric } = analysis;
  const { seed, statistic } = record.settings;
  const rows = headResults(analysis).flatMap(({ position, heads }) =>
    heads.flatMap((effects) => {
      const strongest = rankedHeads(effects, statistic).slice(0, 5);
      // The same resamples as in heads.csv: they hang on the seed and the number of samples.
      const intervals = summarizeAll(
        strongest.map(({ layer, head }) => effects.values[layer]![head]!),
        { seed },
      );
      return strongest.map((head, i) => ({ ...effects, position, head, interval: intervals[i]! }));
    }),
  );
  type Row = (typeof rows)[number];
  const label = METRIC_LABELS[headMetric];
  const size: Column<Row> = { name: `mean size of ${label}`, value: ({ head }) => head.meanAbsolute };
  const signed: Column<Row>[] = [
    { name: `mean of ${label}`, value: ({ head }) => head.mean },
    {
      name: '95 % interval of the mean',
      value: ({ interval: { low, high } }) => `${formatNumber(low)} to ${formatNumber(high)}`,
    },
  ];
  return htmlTable('Strongest heads', rows, [
    { name: 'task', value: ({ task }) => task },
    { name: 'corruption', value: ({ corruption }) => CORRUPTION_NAMES[corruption] },
    { name: 'patched at', value: ({ position }) => POSITION_NAMES[position] },
    { name: 'head', value: ({ head }) => headLabel(head) },
    ...(statistic === 'absolute' ? [size, ...signed] : [...signed, size]),
    { name: 'n', value: ({ samples }) => samples.length },
  ]);
}

export function functionsSection({ functions }: Analysis): Markup {
  const rows = [...functions].flatMap(([task, { heads, samples }]) =>
    heads.filter((head) => head.class !== 'none').map((head) => ({ task, samples, ...head })),
  );
  const ofClass = (head: (typeof rows)[number]) =>
    head.class === 'none' ? undefined : head.scores[head.class];
  const without = [...functions].filter(([, { heads }]) => heads.every((head) => head.class === 'none'));
  if (functions.size === 0)
    return html`<p>No task has boxes of its objects, without which functions have no score.</p>`;
  return html`<p>A head is an object detector if it puts significantly more of its attention on the box of what is asked about
than the average head does, an object suppressor if significantly less, an outlier suppressor if it avoids patches that
the average head stares at although nothing is there. The scores are defined in docs/metrics.md.</p>
${without.map(([task, { samples }]) => html`<p>${task}: no head has any of these functions (n = ${samples}).</p>`)}
${
  rows.length > 0
    ? htmlTable('Head functions and their evidence', rows, [
        { name: 'task', value: ({ task }) => task },
        { name: 'head', value: (row) => headLabel(row) },
        { name: 'function', value: (row) => row.class },
        { name: 'attention in box', value: ({ evidence }) => evidence.inside },
        { name: 'average head', value: ({ evidence }) => evidence.averageInside },
        { name: 'chance', value: ({ evidence }) => evidence.chance },
        { name: 'times chance', value: ({ evidence }) => evidence.lift },
        { name: 'score', value: (row) => ofClass(row)?.mean },
        { name: 'adjusted p', value: (row) => ofClass(row)?.pAdjusted },
      ])
    : undefined
}`;
}

export function controlsSection({ controls, noiseFloor, record, effects }: Analysis): Markup {
  const nulls = controls.reduce((sum, { nullPatches }) => sum + nullPatches, 0);
  const floors = (
    [
      ['probability', 'p_effect'],
      ['logit difference', 'ld_effect'],
    ] as const
  ).map(
    ([name, metric]) => `the ${name} by at most ${noiseFloor(metric)?.toExponential(2) ?? '(not measured)'}`,
  );
  const without = record.tasks.flatMap(({ task, withoutText }) =>
    Object.entries(withoutText).map(([id, reason]) => ({ task, id, reason })),
  );
  return html`<ul>
<li>${nulls} null patches (the corrupt run patched with its own value) had an effect of exactly 0.</li>
<li>${controls.length} full restorations gave the clean logits, bit for bit.</li>
<li>Every patch wrote exactly as many elements as it was asked to; a sweep that does not is an error.</li>
<li>Rounding noise (embeddings changed in the last place) moves ${floors.join(', ')}:
smaller effects are shown as nothing.</li>
<li>${effects.undefinedCells} cells have no normalised effect, because clean and corrupt run agree.</li>
${record.tasks.map(({ task, withoutGenerated = [] }) =>
  withoutGenerated.length > 0
    ? html`<li>${task}: no generated counterpart of ${withoutGenerated.join(', ')}.</li>`
    : undefined,
)}
</ul>
${
  without.length > 0
    ? htmlTable(
        'Samples without text corruption: the replaced options have another number of tokens',
        without,
        [
          { name: 'task', value: ({ task }) => task },
          { name: 'sample', value: ({ id }) => id },
          { name: 'reason', value: ({ reason }) => reason },
        ],
      )
    : undefined
}`;
}
