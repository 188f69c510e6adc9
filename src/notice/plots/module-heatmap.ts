// Module heatmaps: token roles × layers (paper, Figures 3 and 11-16).

import { cellGrid, decimalsFor, noiseNotes } from './cell-grid.ts';
import { effectScale } from './colors.ts';
import { colorBar, type Drawing, type FigureText } from './figure.ts';

export interface ModuleHeatmapPanel {
  /** Panels with the same row and column names stand in line; the title says both. */
  readonly row: string;
  readonly column: string;
  readonly roles: readonly string[];
  /** [role][layer]: mean effects; undefined where no sample has the role. */
  readonly values: readonly (readonly (number | undefined)[])[];
}

export interface ModuleHeatmap extends FigureText {
  readonly panels: readonly ModuleHeatmapPanel[];
  /** Quantity and unit, as in `METRIC_LABELS`. */
  readonly label: string;
  /** Whether effects can be negative; false for P′. */
  readonly signed?: boolean;
  /** Size at the end of the colour scale, where figures share one. Default the largest of this one. */
  readonly limit?: number | undefined;
  /** What the rows of a panel are; default tokens. */
  readonly rowLabel?: string;
  /** Write the value into each cell. */
  readonly labelled?: boolean;
}

/** All panels share one colour scale. */
export function moduleHeatmap(figure: ModuleHeatmap): Drawing {
  const { panels, labelled = false, signed = true } = figure;
  const means = panels.flatMap(({ values }) => values.flat().filter((value) => value !== undefined));
  const scale = effectScale(figure.limit === undefined ? means : [figure.limit], signed);
  const layers = Math.max(...panels.map(({ values }) => values[0]?.length ?? 0));
  const cellWidth = labelled ? 42 : Math.min(34, Math.max(12, Math.round(400 / layers)));
  const rowNames = [...new Set(panels.map(({ row }) => row))];
  const columnNames = [...new Set(panels.map(({ column }) => column))];

  const grid = rowNames.map((row) =>
    columnNames.map((column) => {
      const panel = panels.find((panel) => panel.row === row && panel.column === column);
      if (!panel) return undefined;
      return cellGrid({
        title: [row, column].filter(Boolean).join(' · '),
        rows: panel.roles,
        columns: Array.from({ length: layers }, (_, layer) => String(layer)),
        values: panel.values,
        rowLabel: figure.rowLabel ?? 'token',
        columnLabel: 'layer',
        label: figure.label,
        scale,
        cellWidth,
        cellHeight: 24,
        decimals: labelled ? decimalsFor(means) : undefined,
        noiseFloor: figure.noiseFloor,
      });
    }),
  );
  const isMissing = panels.some(({ values }) => values.some((row) => row.includes(undefined)));
  const notes = [...(isMissing ? ['–: no such token.'] : []), ...noiseNotes(means, figure.noiseFloor)];
  return { ...figure, legends: [[colorBar(scale, figure.label)]], panels: grid, notes };
}
