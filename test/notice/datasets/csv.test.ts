// What is text stays text: line ends inside and between cells, and bytes that are no UTF-8.

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseTable, streamTable } from '../../../src/notice/datasets/csv.ts';
import {
  formatManifest,
  type Pair,
  parseManifest,
  readManifest,
} from '../../../src/notice/datasets/index.ts';
import { type Column, csvTable } from '../../../src/notice/tables/table.ts';
import { freshFolder, writeText } from './support.ts';

const ODD = [
  'top\nbottom',
  'with\rcr',
  'both\r\nends',
  '\r',
  '\n',
  'a,"b"',
  "it's 'quoted'",
  "'",
  '-3 apples',
  ' x ',
  '#no comment',
];

describe('cells with line breaks, quotes and apostrophes', () => {
  const columns: Column<string>[] = [
    { name: 'id', value: (text) => text },
    { name: 'n', value: () => 1 },
  ];

  test('tables of results have a row for each', () => {
    const { rows, drops } = parseTable(csvTable(ODD, columns), 'table.csv', ['id', 'n']);
    expect(drops).toEqual([]);
    // What a spreadsheet would run has an apostrophe before it.
    const shown = (text: string) => (/^[-\r]/.test(text) ? `'${text}` : text);
    expect(rows.map(({ cells }) => [cells.id, cells.n])).toEqual(ODD.map((text) => [shown(text), '1']));
  });

  test('manifests come back as they were written', () => {
    const pairs = ODD.filter((text) => text === text.trim() && text !== '').map(
      (text, i): Pair => ({
        id: text,
        cleanImage: `${i}.png`,
        corruptImage: `${i}c.png`,
        cleanPrompt: `is it ${text}?`,
        corruptPrompt: 'is it?',
        correct: text,
        incorrect: 'other',
        category: text,
      }),
    );
    const { rows, problems } = parseManifest(formatManifest(pairs), 'm.csv');
    expect(problems).toEqual([]);
    expect(rows.map(({ pair }) => pair)).toEqual(pairs);
  });
});

test.each(['\n', '\r\n', '\r'])('rows end in %j, also where the header ends otherwise', async (end) => {
  const file = await writeText(join(await freshFolder(), 'x.csv'), `a,b\r\n1,2${end}3,"4\n5"${end}`);
  const rows: unknown[] = [];
  for await (const { cells } of streamTable(file, ['a', 'b'], [])) rows.push(cells);
  expect(rows).toEqual([
    { a: '1', b: '2' },
    { a: '3', b: '4\n5' },
  ]);
});

test('a Latin-1 file is refused, not read with other letters', async () => {
  const folder = await freshFolder();
  const text =
    'clean_image_path,corrupt_image_path,clean_prompt,corrupt_prompt,correct_answer,incorrect_answer,category\n';
  const file = await writeText(join(folder, 'x.csv'), Buffer.from(`${text}a,b,größer,c,d,e,f\n`, 'latin1'));
  await expect(readManifest(file)).rejects.toMatchObject({
    code: 'data',
    message: expect.stringMatching(/x\.csv is not UTF-8 text: wrong at byte \d+\. Save it as UTF-8\.$/),
  });
  const stream = async () => {
    for await (const _ of streamTable(file, ['category'], []));
  };
  await expect(stream()).rejects.toMatchObject({
    code: 'data',
    message: `${file} is not UTF-8 text. Save it as UTF-8.`,
  });
});
