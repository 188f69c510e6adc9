// A panel of coloured cells: token roles × layers, or layers × heads.

import * as Plot from '@observablehq/plot';
import { type EffectScale, labelColor } from './colors.ts';
import { type Block, plotBlock } from './svg.ts';
import { fitText, textWidth } from './text.ts';
import { BELOW_NOISE, BOLD_WIDTH, FONT_SIZE, INK, QUIET_INK } from './theme.ts';

export interface CellGrid {
  readonly title: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
  /** [row][column]; undefined where there is no data. */
  readonly values: readonly (readonly (number | undefined)[])[];
  readonly rowLabel: string;
  readonly columnLabel: string;
  readonly scale: EffectScale;
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** Write the value into each cell. */
  readonly labelled?: boolean;
  readonly noiseFloor?: number;
  /** Drawn over the cells; x and y are names of columns and rows. */
  readonly marks?: readonly Plot.Markish[];
}

/** Missing cells hold a dash, those below the noise floor are grey. */
export function cellGrid(grid: CellGrid): Block {
  const { rows, columns, cellWidth, cellHeight } = grid;
  const names = rows.map((row) => fitText(row, 150, FONT_SIZE));
  const marginLeft = Math.ceil(Math.max(...names.map((name) => textWidth(name, FONT_SIZE)))) + 26;
  const marginTop = 26;
  const marginBottom = 38;
  // The title starts at the panel's left edge and may be wider than the cells.
  const title = fitText(grid.title, 360, BOLD_WIDTH * FONT_SIZE);
  const contentWidth = marginLeft + columns.length * cellWidth;
  const marginRight = Math.max(6, Math.ceil(textWidth(title, BOLD_WIDTH * FONT_SIZE) - contentWidth));
  const width = contentWidth + marginRight;

  return plotBlock({
    width,
    height: marginTop + rows.length * cellHeight + marginBottom,
    marginLeft,
    marginTop,
    marginBottom,
    marginRight,
    x: {
      type: 'band',
      domain: columns,
      padding: 0,
      label: grid.columnLabel,
      labelAnchor: 'center',
      labelArrow: 'none',
      tickSize: 3,
      ticks: everyFew(columns, cellWidth, (name) => textWidth(name, FONT_SIZE) + 6),
    },
    y: {
      type: 'band',
      domain: rows,
      padding: 0,
      label: grid.rowLabel,
      labelAnchor: 'center',
      labelArrow: 'none',
      tickSize: 3,
      tickFormat: (row: string) => names[rows.indexOf(row)] ?? row,
      ticks: everyFew(rows, cellHeight, () => FONT_SIZE + 1),
    },
    color: { type: 'identity' },
    marks: [
      ...cellMarks(grid),
      ...(grid.marks ?? []),
      Plot.text([title], {
        frameAnchor: 'top-left',
        dx: -marginLeft,
        dy: -18,
        fontSize: FONT_SIZE,
        fontWeight: 'bold',
        fill: INK,
      }),
    ],
  });
}

function cellMarks({ rows, columns, values, scale, labelled, noiseFloor = 0 }: CellGrid): Plot.Markish[] {
  const cells = values.flatMap((row, r) =>
    row.map((value, c) => ({ row: rows[r]!, column: columns[c]!, value })),
  );
  const known = cells.flatMap(({ value, ...cell }) => (value === undefined ? [] : [{ ...cell, value }]));
  const missing = cells.filter(({ value }) => value === undefined);
  const decimals = decimalsFor(scale.high);
  const fill = ({ value }: { value: number }) =>
    Math.abs(value) < noiseFloor ? BELOW_NOISE : scale.color(value);
  return [
    Plot.text(missing, { x: 'column', y: 'row', text: () => '–', fill: QUIET_INK, fontSize: 9 }),
    Plot.cell(known, { x: 'column', y: 'row', fill, inset: 0.5 }),
    ...(labelled
      ? [
          Plot.text(known, {
            x: 'column',
            y: 'row',
            text: ({ value }: { value: number }) => fixed(value, decimals),
            fill: ({ value }: { value: number }) =>
              Math.abs(value) < noiseFloor ? 'black' : labelColor(value, scale),
            fontSize: 9,
          }),
        ]
      : []),
  ];
}

/** The note for a caption, if a value is grey. */
export function noiseNotes(values: Iterable<number>, noiseFloor: number | undefined): string[] {
  if (noiseFloor === undefined) return [];
  for (const value of values) {
    if (Math.abs(value) < noiseFloor) return ['Grey cells are below the noise floor.'];
  }
  return [];
}

/** All labels of a figure have as many decimals as its largest value needs for two or three digits: small ones show as small. */
function decimalsFor(largest: number): number {
  const magnitude = Math.floor(Math.log10(largest));
  return Math.max(1 - magnitude, Math.min(2 - magnitude, 2), 0);
}

function fixed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', '−');
}

/** The names that can be written without touching each other: all, or every second, fifth, tenth … */
function everyFew(names: readonly string[], space: number, size: (name: string) => number): string[] {
  const needed = Math.max(...names.map(size));
  const step = [1, 2, 5, 10, 20, 50].find((step) => step * space >= needed) ?? 100;
  return names.filter((_, i) => i % step === 0);
}
