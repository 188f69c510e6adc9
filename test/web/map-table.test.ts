// A map's numbers come back from its files as they went in.
import { parse } from 'csv-parse/sync';
import { parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import { csvOf, type MapTable, parquetOf } from '../../src/web/state/map-table.ts';

const table: MapTable = {
  columns: { token: 'text', layer: 'integer', head: 'integer or null', value: 'float' },
  rows: [
    { token: 'heart, or "ring"\n', layer: 0, head: null, value: -1.5 },
    { token: '=1+1', layer: 3, head: 2, value: Math.fround(0.1) },
  ],
};

test('Parquet keeps text, numbers and what is missing', async () => {
  const file = (await parquetOf(table)).buffer;
  expect(await parquetReadObjects({ file })).toEqual(table.rows);
});

test('CSV has all digits, and no cell that a spreadsheet would run', async () => {
  const [header, ...rows] = parse(await csvOf(table)) as string[][];
  expect(header).toEqual(['token', 'layer', 'head', 'value']);
  expect(rows).toEqual([
    ['heart, or "ring"\n', '0', '', '-1.5'],
    ["'=1+1", '3', '2', String(Math.fround(0.1))],
  ]);
});

test('a value that a column cannot hold is named', async () => {
  const odd = { ...table, rows: [{ ...table.rows[0], value: Number.NaN }] };
  await expect(parquetOf(odd)).rejects.toThrow(/value = NaN; expected float/);
  await expect(csvOf(odd)).rejects.toThrow(/value = NaN; expected float/);
});
