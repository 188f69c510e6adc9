// What may stand in a column of a Parquet file.

import type { SchemaElement } from 'hyparquet';

/** UTF-8 text, 32-bit integers, 32-bit floats. */
export type ColumnKind = 'text' | 'integer' | 'float' | 'integer or null' | 'float or null';

/** The Parquet schema of columns, in their order. */
export function parquetSchema(name: string, columns: Readonly<Record<string, ColumnKind>>): SchemaElement[] {
  const elements = Object.entries(columns).map(([column, kind]): SchemaElement => {
    const repetition_type = kind.endsWith('null') ? 'OPTIONAL' : 'REQUIRED';
    if (kind === 'text') return { name: column, type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type };
    return { name: column, type: kind.startsWith('integer') ? 'INT32' : 'FLOAT', repetition_type };
  });
  return [{ name, num_children: elements.length }, ...elements];
}

/** What a Parquet file of these columns is written with. */
export function parquetLayout(name: string, columns: Readonly<Record<string, ColumnKind>>) {
  return {
    columns: Object.keys(columns).map((column) => ({ name: column })),
    schema: parquetSchema(name, columns),
    createdBy: 'notice-webgpu',
  };
}

/** Whether a value can be stored as it is: a Parquet INT32 would cut off what is after the point. */
export function fitsColumn(value: unknown, kind: ColumnKind): boolean {
  switch (kind) {
    case 'text':
      return typeof value === 'string';
    case 'integer':
      return Number.isInteger(value) && Math.abs(value as number) < 2 ** 31;
    case 'float':
      return Number.isFinite(value);
    case 'integer or null':
      return value === null || fitsColumn(value, 'integer');
    case 'float or null':
      return value === null || fitsColumn(value, 'float');
  }
}
