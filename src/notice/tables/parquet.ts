// Cells in Parquet files: one part for every few samples while a run goes on, one file when it is done.

import { readdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { asyncBufferFromFile, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { fileWriter, parquetWriteRows } from 'hyparquet-writer';
import type { CellRow } from '../../analysis/cell.ts';
import type { Cells } from '../../analysis/effects.ts';
import { NoticeError } from '../../errors.ts';
import { fillWhole } from '../../platform/node/whole-file.ts';
import { CELL_COLUMNS, type CellColumn, cellColumns, cellSchema, checkCell } from './cell-schema.ts';
import { parquetLayout } from './columns.ts';

/** Rows of a row group, always the same, so that a file's bytes depend on its rows and on nothing else. */
const ROW_GROUP_ROWS = 50_000;

/**
 * Writes a file of cells. It appears under its name only when it is complete. Memory holds one row group, whatever the
 * number of cells.
 * @returns number of rows
 * @throws NoticeError('data') for a cell that has no place in the schema, as a NaN, NoticeError('file'); then no file is
 *   left
 */
export async function writeCells(path: string, cells: Cells): Promise<number> {
  let rows = 0;
  const counted = async function* () {
    for await (const cell of cells) {
      rows++;
      yield checkCell(cell);
    }
  };
  await fillWhole(path, (temporary) =>
    parquetWriteRows({
      writer: fileWriter(temporary),
      rows: counted(),
      ...parquetLayout('cells', CELL_COLUMNS),
      rowGroupSize: ROW_GROUP_ROWS,
    }),
  );
  return rows;
}

/**
 * Reads a file of cells, one row group at a time.
 * @param columns only these, which is much faster than all of them
 * @throws NoticeError('data') for a file that is missing, damaged, or not one of cells
 */
export async function* readCells<Name extends CellColumn = CellColumn>(
  path: string,
  columns: readonly Name[] = cellColumns as Name[],
): AsyncGenerator<Pick<CellRow, Name>> {
  const fail = (cause: unknown): never => {
    if (cause instanceof NoticeError) throw cause;
    throw new NoticeError('data', `${path} cannot be read as Parquet: ${(cause as Error).message}`, {
      cause,
    });
  };
  const file = await asyncBufferFromFile(path).catch(fail);
  const metadata = await parquetMetadataAsync(file).catch(fail);
  checkSchema(path, metadata);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    yield* (await parquetReadObjects({
      file,
      metadata,
      columns: [...columns],
      rowStart,
      rowEnd,
    }).catch(fail)) as unknown as Pick<CellRow, Name>[];
    rowStart = rowEnd;
  }
}

/**
 * File name of a part, such that names stand in the order of the run.
 * @param place the part's place in the whole run from 0; a shard uses the places of the whole
 */
export function partName(place: number): string {
  return `cells-${String(place).padStart(7, '0')}.parquet`;
}

/** The complete parts of a run's folder, or of all its shards', in the order of the run; what a crash left is not among them. */
export async function listParts(...folders: string[]): Promise<string[]> {
  const paths = await Promise.all(
    folders.map(async (folder) => (await readdir(folder)).map((name) => join(folder, name))),
  );
  return paths
    .flat()
    .filter((path) => /^cells-\d{7,}\.parquet$/.test(basename(path)))
    .sort((a, b) => partPlace(a) - partPlace(b));
}

function partPlace(path: string): number {
  return Number(/\d+/.exec(basename(path))?.[0]);
}

function checkSchema(path: string, { schema }: FileMetaData): void {
  const describe = ({ name, type, repetition_type }: FileMetaData['schema'][number]) =>
    `${name} ${type} ${repetition_type}`;
  const found = schema.slice(1).map(describe);
  const expected = cellSchema.slice(1).map(describe);
  const missing = expected.filter((column) => !found.includes(column));
  if (missing.length > 0) {
    throw new NoticeError(
      'data',
      `${path} is not a file of cells: expected the columns ${missing.join(', ')}; found ${found.join(', ')}.`,
    );
  }
}
