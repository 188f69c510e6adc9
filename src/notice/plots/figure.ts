// The frame of every figure: title, legend, panels, caption.

import { formatNumber } from '../tables/format.ts';
import type { EffectScale } from './colors.ts';
import { type Block, type Panel, placed, serialize, svgElement } from './svg.ts';
import { textWidth, wrapText } from './text.ts';
import { BOLD_WIDTH, FONT_FAMILY, FONT_SIZE, INK, PAPER, QUIET_INK, TITLE_SIZE } from './theme.ts';

/** What is written around the panels. */
export interface FigureText {
  readonly title: string;
  /** Model, site, settings. */
  readonly subtitle?: string;
  /** What is to be seen; sample count and noise floor are added to it. */
  readonly caption?: string;
  /** Number of samples behind the figure; in words where panels differ. */
  readonly n: number | string;
  /** Largest effect that is nothing but rounding, in the figure's unit, if it was measured. */
  readonly noiseFloor?: number;
}

/** A figure in its pieces: {@link figureSvg} makes one picture of them, a page may let them flow. */
export interface Drawing extends FigureText {
  /** Rows of legends. */
  readonly legends: readonly (readonly Block[])[];
  /** [row][column] */
  readonly panels: readonly (readonly (Panel | undefined)[])[];
  /** What the caption adds of how to read it. */
  readonly notes: readonly string[];
}

/** Everything that stands below the panels. */
export function drawingCaption({ caption, notes, n, noiseFloor }: Drawing): string {
  const floor = noiseFloor === undefined ? [] : [`Noise floor: ${formatNumber(noiseFloor)}.`];
  return [caption, ...notes, `n = ${n}.`, ...floor].filter(Boolean).join(' ');
}

const MARGIN = 16;
const GAP = 12;
const LINE_HEIGHT = 1.35;

/** Stacks title, legends, panels and caption; the figure is as wide as its widest panel row. @returns SVG */
export function figureSvg(drawing: Drawing): string {
  const panels = blockGrid(drawing.panels);
  const legends = drawing.legends.map((row) => blockGrid([row], 0));
  const inner = Math.max(panels.width, 420, ...legends.map(({ width }) => width));
  const width = inner + 2 * MARGIN;
  const parts: SVGElement[] = [];
  let y = MARGIN;
  const write = (content: string, size: number, fill: string, bold = false) => {
    for (const line of wrapText(content, inner, bold ? BOLD_WIDTH * size : size)) {
      y += size * LINE_HEIGHT;
      const weight = bold ? 'bold' : 'normal';
      const attributes = { x: MARGIN, y: y - 0.3 * size, 'font-size': size, 'font-weight': weight, fill };
      parts.push(svgElement('text', attributes, line));
    }
  };

  write(drawing.title, TITLE_SIZE, INK, true);
  if (drawing.subtitle) write(drawing.subtitle, FONT_SIZE + 1, QUIET_INK);
  y += GAP;
  for (const legend of legends) {
    parts.push(placed(legend, MARGIN, y));
    y += legend.height + GAP / 2;
  }
  parts.push(placed(panels, MARGIN, y));
  y += panels.height + GAP / 2;
  write(drawingCaption(drawing), FONT_SIZE, QUIET_INK);

  const height = Math.ceil(y + MARGIN);
  return serialize(
    svgElement(
      'svg',
      {
        xmlns: 'http://www.w3.org/2000/svg',
        viewBox: `0 0 ${width} ${height}`,
        width,
        height,
        'font-family': FONT_FAMILY,
        role: 'img',
      },
      svgElement('title', {}, drawing.title),
      svgElement('rect', { width, height, fill: PAPER }),
      ...parts,
    ),
  );
}

/** Blocks side by side and below each other; columns are as wide, rows as high as their largest block. */
export function blockGrid(rows: readonly (readonly (Block | undefined)[])[], gap = GAP): Block {
  const columns = Math.max(...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, c) =>
    Math.max(...rows.map((row) => row[c]?.width ?? 0)),
  );
  const heights = rows.map((row) => Math.max(...row.map((block) => block?.height ?? 0)));
  const before = (sizes: readonly number[], index: number) =>
    sizes.slice(0, index).reduce((sum, size) => sum + size + gap, 0);
  const parts = rows.flatMap((row, r) =>
    row.flatMap((block, c) => (block ? [placed(block, before(widths, c), before(heights, r))] : [])),
  );
  const width = before(widths, columns) - gap;
  const height = before(heights, rows.length) - gap;
  return { element: svgElement('svg', { width, height }, ...parts), width, height };
}

/** A horizontal colour bar with its quantity and unit, ends and zero. */
export function colorBar(scale: EffectScale, label: string): Block {
  const barWidth = 220;
  const barHeight = 12;
  const labelWidth = textWidth(label, FONT_SIZE) + GAP;
  const steps = 44;
  const valueAt = (share: number) => scale.low + share * (scale.high - scale.low);
  const ticks = scale.low < 0 ? [scale.low, 0, scale.high] : [0, scale.high];
  const width = labelWidth + barWidth + 40;
  const height = barHeight + 18;
  const element = svgElement(
    'svg',
    { width, height, 'font-family': FONT_FAMILY, 'font-size': FONT_SIZE, fill: INK },
    svgElement('text', { x: 0, y: barHeight - 2 }, label),
    ...Array.from({ length: steps }, (_, i) => {
      const left = (i * barWidth) / steps;
      return svgElement('rect', {
        x: labelWidth + left,
        y: 0,
        width: barWidth - left, // to the end, under the steps that follow: nothing shows between two
        height: barHeight,
        fill: scale.color(valueAt(i / (steps - 1))),
      });
    }),
    ...ticks.map((tick) => {
      const x = labelWidth + ((tick - scale.low) / (scale.high - scale.low)) * barWidth;
      return svgElement('text', { x, y: height - 4, 'text-anchor': 'middle' }, formatNumber(tick));
    }),
  );
  return { element, width, height };
}

/** Names beside swatches. */
export function legend(entries: readonly { name: string; swatch: SVGElement }[]): Block[] {
  const height = 18;
  return entries.map(({ name, swatch }) => {
    const width = 26 + textWidth(name, FONT_SIZE) + GAP;
    const element = svgElement(
      'svg',
      { width, height, 'font-family': FONT_FAMILY, 'font-size': FONT_SIZE, fill: INK },
      svgElement('g', { transform: `translate(9, ${height / 2})` }, swatch),
      svgElement('text', { x: 24, y: height / 2 + 4 }, name),
    );
    return { element, width, height };
  });
}
