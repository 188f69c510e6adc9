// A panel of coloured cells: token roles × layers, or layers × heads.

import * as Plot from '@observablehq/plot';
import { formatNumber } from '../tables/format.ts';
import { type EffectScale, labelColor } from './colors.ts';
import { plotBlock } from './plot-block.ts';
import type { Panel } from './svg.ts';
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
  /** Quantity and unit of the values. */
  readonly label: string;
  /** What one cell is. Default "row, columnLabel column". */
  readonly cellName?: (row: string, column: string) => string;
  readonly scale: EffectScale;
  readonly cellWidth: number;
  readonly cellHeight: number;
  /** Write the value into each cell, with as many decimals. */
  readonly decimals?: number | undefined;
  readonly noiseFloor?: number;
  /** Drawn over the cells; x and y are names of columns and rows. */
  readonly marks?: readonly Plot.Markish[];
}

/** Missing cells hold a dash, those below the noise floor are grey. */
export function cellGrid(grid: CellGrid): Panel {
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

  const block = plotBlock({
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
  return {
    ...block,
    alt: describe(grid),
    table: {
      title: grid.title,
      rowLabel: `${grid.rowLabel} \\ ${grid.columnLabel}`,
      columns,
      rows: rows.map((name, r) => ({ name, values: grid.values[r]! })),
    },
  };
}

interface Cell {
  readonly row: string;
  readonly column: string;
  readonly value: number;
}

function knownCells({ rows, columns, values }: CellGrid): Cell[] {
  return values.flatMap((row, r) =>
    row.flatMap((value, c) => (value === undefined ? [] : [{ row: rows[r]!, column: columns[c]!, value }])),
  );
}

function cellName({ columnLabel, cellName }: CellGrid, { row, column }: Cell): string {
  return cellName?.(row, column) ?? `${row}, ${columnLabel} ${column}`;
}

/** The panel in a sentence: its size, and where its strongest cell is. */
function describe(grid: CellGrid): string {
  const cells = knownCells(grid);
  const size = `${grid.title}: ${grid.label} of ${grid.rows.length} × ${grid.columns.length} cells`;
  const [first, ...others] = cells;
  if (!first) return `${size}, all without a value.`;
  const strongest = others.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a), first);
  return `${size}, strongest ${cellName(grid, strongest)} with ${formatNumber(strongest.value)}.`;
}

function cellMarks(grid: CellGrid): Plot.Markish[] {
  const { rows, columns, values, scale, decimals, noiseFloor = 0 } = grid;
  const known = knownCells(grid);
  const missing = values.flatMap((row, r) =>
    row.flatMap((value, c) => (value === undefined ? [{ row: rows[r]!, column: columns[c]! }] : [])),
  );
  const fill = ({ value }: { value: number }) =>
    Math.abs(value) < noiseFloor ? BELOW_NOISE : scale.color(value);
  return [
    Plot.text(missing, { x: 'column', y: 'row', text: () => '–', fill: QUIET_INK, fontSize: 9 }),
    Plot.cell(known, {
      x: 'column',
      y: 'row',
      fill,
      inset: 0.5,
      title: (cell: Cell) =>
        `${cellName(grid, cell)}: ${formatNumber(cell.value)}${Math.abs(cell.value) < noiseFloor ? ', below the noise floor' : ''}`,
    }),
    ...(decimals !== undefined
      ? [
          Plot.text(known, {
            x: 'column',
            y: 'row',
            text: ({ value }: { value: number }) => fixed(value, decimals),
            fill: ({ value }: { value: number }) =>
              Math.abs(value) < noiseFloor ? 'black' : labelColor(value, scale),
            fontSize: 9,
            pointerEvents: 'none', // the cell's title is shown
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
export function decimalsFor(values: readonly number[]): number {
  const largest = values.reduce((size, value) => Math.max(size, Math.abs(value)), 0);
  const magnitude = Math.floor(Math.log10(largest || 1));
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
