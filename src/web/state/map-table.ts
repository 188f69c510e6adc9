// A map's numbers as files: CSV for spreadsheets, Parquet for programs. Both have one row per cell.

import { NoticeError } from '../../errors.ts';
import { type ColumnKind, fitsColumn, parquetLayout } from '../../notice/tables/columns.ts';

export type TableValue = string | number | null;

/** What a map shows, one row per cell. */
export interface MapTable {
  /** Kind of every column, in the order of the file. */
  readonly columns: Readonly<Record<string, ColumnKind>>;
  readonly rows: readonly Readonly<Record<string, TableValue>>[];
}

/** RFC 4180, all digits. */
export async function csvOf(table: MapTable): Promise<string> {
  const { csvTable } = await import('../../notice/tables/table.ts');
  checkTable(table);
  const columns = Object.keys(table.columns).map((name) => ({
    name,
    value: (row: MapTable['rows'][number]) => row[name],
  }));
  return csvTable(table.rows, columns);
}

/** A Parquet file: UTF-8 text, 32-bit integers, 32-bit floats. */
export async function parquetOf(table: MapTable): Promise<Uint8Array<ArrayBuffer>> {
  const { ByteWriter, parquetWriteRows } = await import('hyparquet-writer');
  checkTable(table);
  const writer = new ByteWriter();
  await parquetWriteRows({
    writer,
    rows: [...table.rows],
    ...parquetLayout('map', table.columns),
  });
  return new Uint8Array(writer.getBytes());
}

/** @throws NoticeError('data') that names column and value */
function checkTable({ columns, rows }: MapTable): void {
  for (const [name, kind] of Object.entries(columns)) {
    const row = rows.find((candidate) => !fitsColumn(candidate[name], kind));
    if (row) throw new NoticeError('data', `the map has ${name} = ${String(row[name])}; expected ${kind}`);
  }
}
