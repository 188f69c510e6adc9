// What a command found, in the format that a file's name asks for: all numbers, a table of rows, or a figure.

import { extname } from 'node:path';
import { fileWriter, parquetWriteRows } from 'hyparquet-writer';
import { NoticeError } from '../errors.ts';
import { renderPng } from '../notice/plots/png.ts';
import { type ColumnKind, parquetLayout } from '../notice/tables/columns.ts';
import { csvTable, type TableValue } from '../notice/tables/table.ts';
import { fillWhole, writeWhole } from '../platform/node/whole-file.ts';
import { writeTensors } from './tensors.ts';

const FORMATS = ['safetensors', 'parquet', 'csv', 'png', 'svg'] as const;
type Format = (typeof FORMATS)[number];

/**
 * The format of a file, by its ending; safetensors without one.
 *
 * @throws NoticeError('usage') for a kind that is not written
 */
export function formatOf(file: string): Format {
  const ending = extname(file).slice(1).toLowerCase() || 'safetensors';
  const format = FORMATS.find((name) => name === ending);
  if (!format)
    throw new NoticeError(
      'usage',
      `--out ${file}: expected a name that ends in ${FORMATS.map((name) => `.${name}`).join(', ')}`,
    );
  return format;
}

/** A result in each of its forms; only the one that is written is made. */
export interface Result<Column extends string> {
  readonly tensors: () => Parameters<typeof writeTensors>[1];
  readonly table: {
    readonly name: string;
    readonly columns: Readonly<Record<Column, ColumnKind>>;
    readonly rows: () => readonly Readonly<Record<Column, TableValue>>[];
  };
  /** SVG */
  readonly figure: () => string;
}

export async function writeResult<Column extends string>(
  file: string,
  { tensors, table, figure }: Result<Column>,
): Promise<void> {
  const { name, columns, rows } = table;
  switch (formatOf(file)) {
    case 'safetensors':
      return writeTensors(file, tensors());
    case 'csv': {
      const names = Object.keys(columns) as Column[];
      return writeWhole(
        file,
        csvTable(
          rows(),
          names.map((column) => ({
            name: column,
            value: (row: Readonly<Record<Column, TableValue>>) => row[column],
          })),
        ),
      );
    }
    case 'parquet':
      return fillWhole(file, (temporary) =>
        parquetWriteRows({
          writer: fileWriter(temporary),
          rows: [...rows()],
          ...parquetLayout(name, columns),
        }),
      );
    case 'svg':
      return writeWhole(file, figure());
    case 'png':
      return writeWhole(file, [renderPng(figure())]);
  }
}
