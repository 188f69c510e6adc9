// Means of groups with their intervals: comparisons of corruptions, accuracies (paper, Figures 4 and 10, Table 2).

import * as Plot from '@observablehq/plot';
import { formatNumber } from '../tables/format.ts';
import type { Drawing, FigureText } from './figure.ts';
import { plotBlock } from './plot-block.ts';
import {
  axisDomain,
  type Point,
  pointText,
  type Series,
  type SeriesStyle,
  seriesLegends,
  seriesStyle,
} from './series.ts';
import { fitText, textWidth, wrapText } from './text.ts';
import { FONT_SIZE, INK, PAPER, QUIET_INK } from './theme.ts';

export interface BarChart extends FigureText {
  readonly groups: readonly { readonly name: string; readonly series: Series<Point | undefined> }[];
  /** Quantity and unit of the means. */
  readonly label: string;
  /** Accuracies and the like: an axis from 0 to 100 %. */
  readonly percent?: boolean;
  /** A level to compare with, such as chance: a dashed line. */
  readonly reference?: { readonly value: number; readonly name: string };
}

interface Bar extends Point {
  readonly group: string;
  readonly series: string;
}

const MARGIN = { marginLeft: 52, marginTop: 18, marginRight: 14 };
const MAX_BAR = 36;
const CAP = 8;
/** Of a group's width. */
const GROUP_GAP = 0.08;
const NAME_LINES = 3;

/** Bars from zero, their values above them, whiskers for the intervals. */
export function barChart(figure: BarChart): Drawing {
  const { groups, percent = false, reference } = figure;
  const style = seriesStyle(groups);
  const bars = groups.flatMap((group) =>
    Object.entries(group.series).flatMap(([series, point]) =>
      point ? [{ group: group.name, series, ...point }] : [],
    ),
  );

  const words = groups.flatMap(({ name }) => name.split(/\s+/));
  const longestWord = Math.max(...words.map((word) => textWidth(word, FONT_SIZE)));
  const groupWidth = Math.max(style.names.length * 34, Math.min(longestWord, 110)) + 12;
  const names = new Map(groups.map(({ name }) => [name, nameLines(name, groupWidth - 6)]));
  const lines = Math.max(...[...names.values()].map((name) => name.length));
  const marginBottom = 14 + lines * FONT_SIZE * 1.25;

  const width = Math.max(MARGIN.marginLeft + groups.length * groupWidth + MARGIN.marginRight, 320);
  const inner = width - MARGIN.marginLeft - MARGIN.marginRight;
  const bandWidth = ((1 - GROUP_GAP) * inner) / (groups.length + GROUP_GAP) / style.names.length;
  const format = (value: number) => (percent ? `${formatNumber(value * 100)} %` : formatNumber(value, 2));
  const block = plotBlock({
    width,
    height: 220 + marginBottom,
    ...MARGIN,
    marginBottom,
    fx: { domain: [...names.keys()], label: null, axis: null, padding: GROUP_GAP },
    x: { domain: style.names, axis: null, padding: 0 },
    y: {
      label: null,
      grid: true,
      ticks: 5,
      ...(percent ? { domain: [0, 1], tickFormat: format } : { domain: axisDomain(bars) }),
    },
    color: { type: 'identity' },
    marks: [
      Plot.axisFx({
        anchor: 'bottom',
        tickFormat: (name: string) => names.get(name)?.join('\n') ?? name,
        label: null,
      }),
      ...barMarks(bars, style, bandWidth, format),
      Plot.ruleY([0], { stroke: QUIET_INK }),
      reference ? Plot.ruleY([reference.value], { stroke: INK, strokeDasharray: '4,3' }) : null,
    ],
  });
  return {
    ...figure,
    legends: seriesLegends(figure.label, style, 'bar'),
    panels: [
      [
        {
          ...block,
          alt: `${figure.title}: ${figure.label}, a bar for each of ${groups.map(({ name }) => name).join(', ')}.`,
          table: {
            title: figure.label,
            rowLabel: 'group',
            columns: style.names,
            rows: groups.map(({ name, series }) => ({
              name,
              values: style.names.map((other) => series[other]?.mean),
            })),
          },
        },
      ],
    ],
    notes: ['Whiskers are 95 % intervals.', ...(reference ? [`The dashed line is ${reference.name}.`] : [])],
  };
}

/** Every group's bars with their whiskers and values. */
function barMarks(
  bars: readonly Bar[],
  style: SeriesStyle,
  bandWidth: number,
  format: (value: number) => string,
): Plot.Markish[] {
  const insetTo = (size: number) => Math.max(1, (bandWidth - size) / 2);
  const place = { fx: 'group', x: 'series' } as const;
  const whisker = { stroke: INK, strokeWidth: 1.25 };
  return [
    Plot.barY(bars, {
      ...place,
      y: 'mean',
      fill: ({ series }: { series: string }) => style.color(series),
      insetLeft: insetTo(MAX_BAR),
      insetRight: insetTo(MAX_BAR),
      title: (bar: Bar) => `${bar.group}, ${bar.series}: ${pointText(bar, format)}`,
    }),
    Plot.ruleX(bars, { ...place, y1: 'low', y2: 'high', ...whisker }),
    (['low', 'high'] as const).map((end) =>
      Plot.tickY(bars, { ...place, y: end, inset: insetTo(CAP), ...whisker }),
    ),
    Plot.text(bars, {
      ...place,
      y: ({ high }: Point) => Math.max(high, 0),
      text: ({ mean }: Point) => format(mean),
      dy: -8,
      fontSize: FONT_SIZE - 2,
      fill: INK,
      stroke: PAPER,
      strokeWidth: 3,
    }),
  ];
}

/** A group's name in a few lines, the last one cut if there would be more. */
function nameLines(name: string, width: number): string[] {
  const lines = wrapText(name, width, FONT_SIZE);
  if (lines.length <= NAME_LINES) return lines;
  const rest = lines.slice(NAME_LINES - 1).join(' ');
  return [...lines.slice(0, NAME_LINES - 1), fitText(rest, width, FONT_SIZE)];
}
