// Means with intervals: how corruptions compare over layers or groups, and accuracies (paper, Figures 4 and 10, Table 2).

import * as Plot from '@observablehq/plot';
import type { Interval } from '../analysis/inference.ts';
import { blockGrid, composeFigure, type FigureText, legend } from './figure.ts';
import { type Block, plotBlock, svgElement } from './svg.ts';
import { fitText, textWidth, wrapText } from './text.ts';
import { BELOW_NOISE, FONT_SIZE, INK, QUIET_INK, SERIES_COLORS } from './theme.ts';

/** A mean with its 95 % interval. */
export interface Point extends Interval {
  readonly mean: number;
}

export interface LayerPanel {
  readonly title: string;
  /** Per series a point for each layer; undefined leaves a gap. */
  readonly series: Readonly<Record<string, readonly (Point | undefined)[]>>;
}

export interface LayerProfiles extends FigureText {
  readonly panels: readonly LayerPanel[];
  /** Quantity and unit of the means. */
  readonly label: string;
}

export interface BarChart extends FigureText {
  readonly groups: readonly {
    readonly name: string;
    readonly series: Readonly<Record<string, Point | undefined>>;
  }[];
  readonly label: string;
  /** Ends of the axis; by default they fit the intervals, with 0. */
  readonly domain?: readonly [number, number];
  /** Axis and values in per cent. */
  readonly percent?: boolean;
  /** A level to compare with, such as chance, drawn as a dashed line. */
  readonly reference?: { readonly value: number; readonly name: string };
}

const PANEL_WIDTH = 300;
const PANEL_HEIGHT = 190;
/** Series differ in colour and in dashes. */
const DASHES = ['none', '6,3', '2,2', '8,3,2,3', '1,3', '10,4', '4,1'];

/** Lines over layers, one panel beside the other on the same axis. @returns SVG */
export function layerProfiles(figure: LayerProfiles): string {
  const { panels, label, noiseFloor } = figure;
  const names = seriesNames(panels);
  const style = (name: string) => SERIES_COLORS[names.indexOf(name) % SERIES_COLORS.length]!;
  const dash = (name: string) => DASHES[names.indexOf(name) % DASHES.length]!;
  const domain = axisDomain(panels.flatMap(({ series }) => Object.values(series).flat()));

  const blocks = panels.map(({ title, series }): Block => {
    const layers = Math.max(...Object.values(series).map((points) => points.length));
    return plotBlock({
      width: PANEL_WIDTH,
      height: PANEL_HEIGHT,
      marginLeft: 52,
      marginTop: 28,
      marginBottom: 38,
      marginRight: 10,
      x: {
        label: 'layer',
        labelAnchor: 'center',
        labelArrow: 'none',
        domain: [0, Math.max(layers - 1, 1)],
        ticks: layerTicks(layers),
        tickFormat: 'd',
        inset: 4,
      },
      y: { label: null, domain, grid: true, ticks: 5 },
      marks: [
        ...(noiseFloor === undefined
          ? []
          : [Plot.rectY([noiseFloor], { y1: (d: number) => -d, y2: (d: number) => d, fill: BELOW_NOISE })]),
        Plot.ruleY([0], { stroke: QUIET_INK, strokeWidth: 0.75 }),
        ...Object.entries(series).flatMap(([name, points]) => {
          const data = points.map((point, layer) => ({
            layer,
            ...(point ?? { mean: Number.NaN, low: Number.NaN, high: Number.NaN }),
          }));
          const color = style(name);
          return [
            Plot.areaY(data, { x: 'layer', y1: 'low', y2: 'high', fill: color, fillOpacity: 0.18 }),
            Plot.lineY(data, {
              x: 'layer',
              y: 'mean',
              stroke: color,
              strokeWidth: 1.75,
              strokeDasharray: dash(name),
            }),
            Plot.dot(data, { x: 'layer', y: 'mean', fill: color, r: 2 }),
          ];
        }),
        panelTitle(title, PANEL_WIDTH - 62),
      ],
    });
  });
  const rows = Array.from({ length: Math.ceil(blocks.length / 3) }, (_, i) => blocks.slice(3 * i, 3 * i + 3));
  const notes = noiseFloor === undefined ? [] : ['The grey band is the noise floor.'];
  return composeFigure(figure, [axisName(label), seriesLegend(names, style, dash)], blockGrid(rows), [
    'Bands are 95 % intervals.',
    ...notes,
  ]);
}

/** Groups of bars from zero with their intervals. @returns SVG */
export function barChart(figure: BarChart): string {
  const { groups, label, percent = false, reference } = figure;
  const names = seriesNames(groups);
  const color = (name: string) => SERIES_COLORS[names.indexOf(name) % SERIES_COLORS.length]!;
  const bars = groups.flatMap(({ name, series }) =>
    Object.entries(series).flatMap(([seriesName, point]) =>
      point ? [{ group: name, series: seriesName, ...point }] : [],
    ),
  );
  const longest = Math.max(
    ...groups.map(({ name }) => Math.max(...name.split(/\s/).map((word) => textWidth(word, FONT_SIZE)))),
  );
  const groupWidth = Math.max(names.length * 22 + 16, Math.min(longest, 110) + 10);
  const labels = new Map(
    groups.map(({ name }) => [
      name,
      wrapText(name, groupWidth - 6, FONT_SIZE)
        .slice(0, 3)
        .join('\n'),
    ]),
  );
  const lines = Math.max(...[...labels.values()].map((text) => text.split('\n').length));
  const marginBottom = 14 + lines * FONT_SIZE * 1.2;
  const width = Math.max(52 + groups.length * groupWidth + 14, 320);

  const block = plotBlock({
    width,
    height: 220 + marginBottom,
    marginLeft: 52,
    marginTop: 16,
    marginBottom,
    marginRight: 14,
    fx: { domain: groups.map(({ name }) => name), label: null, axis: null, padding: 0.12 },
    x: { domain: names, axis: null, padding: 0.08 },
    y: {
      label: null,
      grid: true,
      ticks: 5,
      domain: figure.domain ?? axisDomain(bars),
      ...(percent ? { tickFormat: '.0%' } : {}),
    },
    marks: [
      Plot.axisFx({ anchor: 'bottom', tickFormat: (name: string) => labels.get(name) ?? name, label: null }),
      Plot.barY(bars, {
        fx: 'group',
        x: 'series',
        y: 'mean',
        fill: ({ series }: { series: string }) => color(series),
      }),
      Plot.ruleX(bars, { fx: 'group', x: 'series', y1: 'low', y2: 'high', stroke: INK, strokeWidth: 1.25 }),
      ...(['low', 'high'] as const).map((end) =>
        Plot.tickY(bars, { fx: 'group', x: 'series', y: end, stroke: INK, strokeWidth: 1.25, inset: 5 }),
      ),
      Plot.ruleY([0], { stroke: QUIET_INK }),
      ...(reference ? [Plot.ruleY([reference.value], { stroke: INK, strokeDasharray: '4,3' })] : []),
    ],
    color: { type: 'identity' },
  });
  const notes = [
    'Whiskers are 95 % intervals.',
    ...(reference ? [`The dashed line is ${reference.name}.`] : []),
  ];
  return composeFigure(figure, [axisName(label), seriesLegend(names, color)], block, notes);
}

function seriesNames(panels: readonly { series: Readonly<Record<string, unknown>> }[]): string[] {
  return [...new Set(panels.flatMap(({ series }) => Object.keys(series)))];
}

/** From the lowest to the highest end of an interval, and 0, with a little room. */
function axisDomain(points: readonly (Point | undefined)[]): [number, number] {
  const ends = points.flatMap((point) => (point ? [point.low, point.high, point.mean] : []));
  const low = Math.min(0, ...ends);
  const high = Math.max(0, ...ends);
  const room = (high - low || 1) * 0.05;
  return [low < 0 ? low - room : 0, high > 0 ? high + room : low < 0 ? 0 : 1];
}

function layerTicks(layers: number): number[] {
  const step = [1, 2, 4, 8, 16].find((step) => layers / step <= 9) ?? 32;
  return Array.from({ length: Math.ceil(layers / step) }, (_, i) => i * step);
}

function panelTitle(title: string, width: number): Plot.Markish {
  return Plot.text([fitText(title, width, FONT_SIZE)], {
    frameAnchor: 'top-left',
    dy: -18,
    fontSize: FONT_SIZE,
    fontWeight: 'bold',
    fill: INK,
  });
}

/** The quantity of the vertical axis, written level above the panels. */
function axisName(label: string): Block {
  const element = svgElement('text', { x: 0, y: FONT_SIZE, 'font-size': FONT_SIZE, fill: INK }, `↑ ${label}`);
  return { element, width: textWidth(label, FONT_SIZE) + 20, height: FONT_SIZE + 4 };
}

function seriesLegend(
  names: readonly string[],
  color: (name: string) => string,
  dash?: (name: string) => string,
): Block {
  return legend(
    names.map((name) => ({
      name,
      swatch: dash
        ? svgElement('line', {
            x1: -11,
            x2: 11,
            stroke: color(name),
            'stroke-width': 2,
            'stroke-dasharray': dash(name),
          })
        : svgElement('rect', { x: -7, y: -5, width: 14, height: 10, fill: color(name) }),
    })),
  );
}
