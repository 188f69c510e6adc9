// The columns of a file of cells, and what may stand in them.

import type { SchemaElement } from 'hyparquet';
import type { CellRow } from '../../analysis/cell.ts';
import { NoticeError } from '../../errors.ts';
import { type ColumnKind, fitsColumn, parquetSchema } from './columns.ts';

/** In the order of the file. */
export const CELL_COLUMNS = {
  sample: 'text',
  task: 'text',
  category: 'text',
  modality: 'text',
  corruption: 'text',
  draw: 'integer',
  site: 'text',
  layer: 'integer',
  head: 'integer or null',
  position: 'integer',
  positions: 'integer',
  role: 'text',
  token: 'text',
  p_patched: 'float',
  p_effect: 'float',
  ld_effect: 'float',
  normalized: 'float or null',
  p_clean: 'float',
  p_corrupt: 'float',
  ld_clean: 'float',
  ld_corrupt: 'float',
} as const satisfies Record<keyof CellRow, ColumnKind>;

export type CellColumn = keyof typeof CELL_COLUMNS;

export const cellColumns = Object.keys(CELL_COLUMNS) as CellColumn[];

export const cellSchema: SchemaElement[] = parquetSchema('cells', CELL_COLUMNS);

/**
 * A value that has no place in a column would be changed on its way into the file (a Parquet INT32 cuts off what is
 * after the point) or spoil every mean it enters, so it never gets there.
 * @throws NoticeError('data') that names the cell and the value
 */
export function checkCell(cell: CellRow): CellRow {
  for (const name of cellColumns) {
    const value = cell[name];
    if (!fitsColumn(value, CELL_COLUMNS[name])) {
      throw new NoticeError(
        'data',
        `The cell ${describeCell(cell)} has ${name} = ${String(value)}; expected ${CELL_COLUMNS[name]}.`,
      );
    }
  }
  return cell;
}

function describeCell({ sample, corruption, site, layer, head, position }: CellRow): string {
  const where = head === null ? `layer ${layer}` : `layer ${layer}, head ${head}`;
  return `(${sample}, ${corruption}, ${site}, ${where}, position ${position})`;
}
