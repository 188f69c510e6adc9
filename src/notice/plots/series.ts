// What charts of several series share: a colour and dashes for each name, the legend, the vertical axis.

import type { Interval } from '../../analysis/inference.ts';
import { formatNumber } from '../tables/format.ts';
import { legend } from './figure.ts';
import { type Block, svgElement } from './svg.ts';
import { textWidth } from './text.ts';
import { FONT_SIZE, INK, SERIES_COLORS } from './theme.ts';

/** A mean with its 95 % interval. */
export interface Point extends Interval {
  readonly mean: number;
}

/** A point in words. */
export function pointText(
  { mean, low, high }: Point,
  format = (value: number) => formatNumber(value),
): string {
  return `${format(mean)} (95 % interval ${format(low)} to ${format(high)})`;
}

/** Points by the name of their series. */
export type Series<Points> = Readonly<Record<string, Points>>;

export interface SeriesStyle {
  readonly names: readonly string[];
  color(name: string): string;
  dash(name: string): string;
}

/** Lines differ in dashes as well as in colour. */
const DASHES = ['none', '6,3', '2,2', '8,3,2,3', '1,3', '10,4', '4,1'];

/** A series looks the same in all panels or groups of a figure. */
export function seriesStyle(panels: readonly { readonly series: Series<unknown> }[]): SeriesStyle {
  const names = [...new Set(panels.flatMap(({ series }) => Object.keys(series)))];
  const pick = (list: readonly string[]) => (name: string) => list[names.indexOf(name) % list.length]!;
  return { names, color: pick(SERIES_COLORS), dash: pick(DASHES) };
}

/** The quantity of the vertical axis, level above the panels, and the series unless there is just one. */
export function seriesLegends(
  label: string,
  { names, color, dash }: SeriesStyle,
  swatch: 'line' | 'bar',
): Block[][] {
  const axis = {
    element: svgElement('text', { x: 0, y: FONT_SIZE, 'font-size': FONT_SIZE, fill: INK }, `↑ ${label}`),
    width: textWidth(`↑ ${label}`, FONT_SIZE),
    height: FONT_SIZE + 4,
  };
  if (names.length < 2) return [[axis]];
  const swatches = names.map((name) => ({
    name,
    swatch:
      swatch === 'line'
        ? svgElement('line', {
            x1: -11,
            x2: 11,
            stroke: color(name),
            'stroke-width': 2,
            'stroke-dasharray': dash(name),
          })
        : svgElement('rect', { x: -7, y: -5, width: 14, height: 10, fill: color(name) }),
  }));
  return [legend(swatches), [axis]];
}

/** From the lowest to the highest end of an interval, and 0, with a little room. */
export function axisDomain(points: readonly (Point | undefined)[]): [number, number] {
  const ends = points.flatMap((point) => (point ? [point.low, point.mean, point.high] : []));
  const low = Math.min(0, ...ends);
  const high = Math.max(0, ...ends);
  const room = (high - low || 1) * 0.05;
  return [low < 0 ? low - room : 0, high > 0 || low === 0 ? high + room : 0];
}
