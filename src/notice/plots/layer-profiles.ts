// Effects over layers, one line per corruption (paper, Figures 4 and 10).

import * as Plot from '@observablehq/plot';
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
import type { Panel } from './svg.ts';
import { fitText } from './text.ts';
import { BELOW_NOISE, BOLD_WIDTH, FONT_SIZE, INK, QUIET_INK } from './theme.ts';

export interface LayerProfiles extends FigureText {
  readonly panels: readonly {
    readonly title: string;
    /** A point for each layer; undefined leaves a gap. */
    readonly series: Series<readonly (Point | undefined)[]>;
  }[];
  /** Quantity and unit of the means. */
  readonly label: string;
  /** What the lines are; default corruptions. */
  readonly seriesLabel?: string;
}

const WIDTH = 300;
const HEIGHT = 190;
const MARGIN = { marginLeft: 52, marginTop: 28, marginBottom: 38, marginRight: 10 };
const PANELS_PER_ROW = 3;
const NO_POINT: Point = { mean: Number.NaN, low: Number.NaN, high: Number.NaN };

/** Panels side by side, all with the same vertical axis; bands are the intervals. */
export function layerProfiles(figure: LayerProfiles): Drawing {
  const { panels, noiseFloor } = figure;
  const style = seriesStyle(panels);
  const points = panels.flatMap(({ series }) => Object.values(series).flat());
  const domain = axisDomain(points);
  const banded = points.some((point) => point && point.low < point.high);

  const blocks = panels.map(({ title, series }): Panel => {
    const layers = Math.max(...Object.values(series).map((points) => points.length));
    const block = plotBlock({
      width: WIDTH,
      height: HEIGHT,
      ...MARGIN,
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
        ...profileMarks(series, style, noiseFloor),
        Plot.text([fitText(title, WIDTH - 10, BOLD_WIDTH * FONT_SIZE)], {
          frameAnchor: 'top-left',
          dx: -MARGIN.marginLeft,
          dy: -18,
          fontSize: FONT_SIZE,
          fontWeight: 'bold',
          fill: INK,
        }),
      ],
    });
    const names = Object.keys(series);
    return {
      ...block,
      alt: `${title}: ${figure.label} over ${layers} layers, a line for ${names.join(', ')}.`,
      table: {
        title,
        rowLabel: `${figure.seriesLabel ?? 'corruption'} \\ layer`,
        columns: Array.from({ length: layers }, (_, layer) => String(layer)),
        rows: names.map((name) => ({ name, values: series[name]!.map((point) => point?.mean) })),
      },
    };
  });
  const rows = Array.from({ length: Math.ceil(blocks.length / PANELS_PER_ROW) }, (_, row) =>
    blocks.slice(PANELS_PER_ROW * row, PANELS_PER_ROW * (row + 1)),
  );
  return {
    ...figure,
    legends: seriesLegends(figure.label, style, 'line'),
    panels: rows,
    notes: [
      ...(banded ? ['Bands are 95 % intervals.'] : []),
      ...(noiseFloor === undefined ? [] : ['The grey band is below the noise floor.']),
    ],
  };
}

/** The noise floor's band, then every series with its interval. */
function profileMarks(
  series: LayerProfiles['panels'][number]['series'],
  style: SeriesStyle,
  noiseFloor: number | undefined,
): Plot.Markish[] {
  return [
    noiseFloor === undefined
      ? null
      : Plot.rectY([noiseFloor], {
          y1: (floor: number) => -floor,
          y2: (floor: number) => floor,
          fill: BELOW_NOISE,
        }),
    Plot.ruleY([0], { stroke: QUIET_INK, strokeWidth: 0.75 }),
    Object.entries(series).map(([name, points]) => {
      const data = points.map((point, layer) => ({ layer, ...(point ?? NO_POINT) }));
      const color = style.color(name);
      return [
        Plot.areaY(data, { x: 'layer', y1: 'low', y2: 'high', fill: color, fillOpacity: 0.18 }),
        Plot.lineY(data, {
          x: 'layer',
          y: 'mean',
          stroke: color,
          strokeWidth: 1.75,
          strokeDasharray: style.dash(name),
        }),
        Plot.dot(data, {
          x: 'layer',
          y: 'mean',
          fill: color,
          r: 2,
          title: ({ layer, ...point }: Point & { layer: number }) =>
            `${name}, layer ${layer}: ${pointText(point)}`,
        }),
      ];
    }),
  ];
}

function layerTicks(layers: number): number[] {
  const step = [1, 2, 4, 8, 16].find((step) => layers / step <= 9) ?? 32;
  return Array.from({ length: Math.ceil(layers / step) }, (_, i) => i * step);
}
