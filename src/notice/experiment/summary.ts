// An analysis in a few lines of text.

import { METRIC_LABELS } from '../../analysis/cell.ts';
import { ALL_CATEGORIES } from '../../analysis/effects.ts';
import { describeUniversalHeads, headLabel } from '../../analysis/universal-heads.ts';
import { formatNumber } from '../tables/format.ts';
import { markdownTable } from '../tables/table.ts';
import { type Analysis, headResults } from './analyse.ts';
import { rankedHeads } from './ranking.ts';
import { POSITION_NAMES } from './titles.ts';

/** Accuracy, the strongest heads of every task, universal heads, self-checks. */
export function printSummary(analysis: Analysis): string {
  const { accuracy, controls, noiseFloor, record } = analysis;
  const overall = accuracy.filter(({ category }) => category === ALL_CATEGORIES);
  const lines = [
    '',
    markdownTable(overall, [
      { name: 'task', value: ({ task }) => task },
      { name: 'pairs', value: ({ n }) => n },
      { name: 'exact match', value: (row) => row.accuracy },
      { name: 'but for first letter', value: ({ firstLetter }) => firstLetter.accuracy },
      { name: '95 % interval', value: ({ low, high }) => `${formatNumber(low)} to ${formatNumber(high)}` },
      { name: 'flipped by the counterpart image', value: ({ flipped }) => flipped },
      {
        name: 'samples',
        value: ({ task }) => record.tasks.find((found) => found.task === task)?.selected.length,
      },
    ]),
    ...headResults(analysis).flatMap(({ position, heads, universal }) => [
      `Strongest heads at ${POSITION_NAMES[position]}, ${statisticLabel(analysis)}:`,
      ...heads.map((effects) => {
        const { task, corruption, samples } = effects;
        const ranked = rankedHeads(effects, record.settings.statistic)
          .slice(0, 4)
          .map((head) => `${headLabel(head)} ${formatNumber(head.score, 2)}`);
        return `  ${task}, ${corruption} (n = ${samples.length}): ${ranked.join(', ')}`;
      }),
      '',
      ...(universal
        ? (['image', 'text'] as const).map((modality) => describeUniversalHeads(universal, modality))
        : []),
    ]),
  ];
  const nulls = controls.reduce((sum, { nullPatches }) => sum + nullPatches, 0);
  lines.push(
    `Self-checks: ${nulls} null patches exactly 0, ${controls.length} full restorations exact; ` +
      `rounding moves a logit difference by at most ${noiseFloor('ld_effect')?.toExponential(1) ?? '–'}.`,
  );
  return lines.join('\n');
}

/** What heads are ranked by. */
function statisticLabel({ headMetric, record }: Analysis): string {
  const label = METRIC_LABELS[headMetric];
  return record.settings.statistic === 'absolute'
    ? `mean ${label.replace(/^[^(]*[^( ]/, '|$&|')}`
    : `mean ${label}`;
}
