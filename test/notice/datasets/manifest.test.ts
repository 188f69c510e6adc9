import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  DataError,
  imageBoxes,
  type Pair,
  parseManifest,
  parseMetadata,
  readManifest,
  writeManifest,
} from '../../../src/notice/datasets/index.ts';
import { freshFolder, reasons, writeImage, writeText } from './support.ts';

const data = fileURLToPath(new URL('../../../data/', import.meta.url));
const HEADER =
  'clean_image_path,corrupt_image_path,clean_prompt,corrupt_prompt,correct_answer,incorrect_answer,category';
const ROW = 'a.png,b.png,is it red or blue?,is it old or new?,red,blue,color';

async function folderWith(csv: string, images = ['a.png', 'b.png']): Promise<string> {
  const folder = await freshFolder();
  for (const image of images) await writeImage(join(folder, image));
  return await writeText(join(folder, 'set.csv'), csv);
}

describe('the embedded data', () => {
  test.each(['scenes', 'states', 'faces'])('%s: 120 pairs with their metadata', async (name) => {
    const { pairs, report } = await readManifest(join(data, `${name}.csv`));
    expect(report).toEqual({ read: 120, kept: 120, drops: [] });
    for (const { id } of pairs) expect(id).toMatch(new RegExp(`^${name}-[0-9a-f]{8}$`));
    expect(new Set(pairs.map(({ id }) => id)).size).toBe(120);
    for (const pair of pairs) {
      expect(pair.metadata?.task).toBe(name);
      expect(imageBoxes(pair.metadata?.clean).length).toBeGreaterThan(0);
      expect(imageBoxes(pair.metadata?.corrupt).length).toBeGreaterThan(0);
    }
  });

  test('a row and its boxes', async () => {
    const { pairs } = await readManifest(join(data, 'scenes.csv'));
    const { cleanImage, metadata, ...rest } = pairs[0] as Pair;
    expect(relative(data, cleanImage)).toBe(join('scenes', '000_clean.png'));
    expect(rest).toMatchObject({
      cleanPrompt: 'is a star or cross inside the circle?',
      corruptPrompt: 'is a square or heart inside the circle?',
      correct: 'star',
      incorrect: 'cross',
      category: 'subject',
    });
    expect(metadata?.str_options).toEqual(['square', 'heart']);
    expect(imageBoxes(metadata?.clean)[1]).toEqual({ name: 'subject', box: [17.5, 12.5, 31.5, 25.75] });
  });
});

describe('reading', () => {
  test('BOM, CRLF, quoted commas, quotes, line breaks and non-ASCII text are kept', async () => {
    const file = await folderWith(
      `\uFEFF${HEADER},id\r\nä b.png,"b,c.png","is it ""red"", or\r\nblau?",是红色还是蓝色？,"""red""",blau,Größe,x\r\n`,
      ['ä b.png', 'b,c.png'],
    );
    const { pairs } = await readManifest(file);
    expect(pairs[0]).toMatchObject({
      id: 'x',
      cleanPrompt: 'is it "red", or\r\nblau?',
      corruptPrompt: '是红色还是蓝色？',
      correct: '"red"',
      category: 'Größe',
    });
    expect(pairs[0]?.corruptImage.endsWith('b,c.png')).toBe(true);
  });

  test.each([
    ['no header', '', /set\.csv is empty/],
    ['no rows', `${HEADER}\n`, /has a header and no rows/],
    ['a missing column', `${HEADER.replace(',category', '')}\nx\n`, /lacks the column category/],
    ['a column twice', `${HEADER},category\nx\n`, /two columns named "category"/],
    ['an open quote', `${HEADER}\n"${ROW}\n`, /not sound CSV/],
  ])('%s is an error', async (_, csv, message) => {
    await expect(readManifest(await folderWith(csv))).rejects.toThrow(message);
  });

  test('a file that is not there is an error that names it', async () => {
    await expect(readManifest('/nowhere/set.csv')).rejects.toThrow(/\/nowhere\/set\.csv cannot be read/);
  });

  const broken = [
    'a.png,b.png,is it red or blue?', // cells
    'a.png,b.png,is it red or blue?,,red,blue,color', // empty
    'a.png,b.png,is it red or blue?,is it old or new?,red ,blue,color', // space
    'a.png,b.png,is it red or blue?,is it old or new?,red,red,color', // same options
    'a.png,a.png,is it red or blue?,is it old or new?,red,blue,color', // same images
    '../a.png,b.png,is it red or blue?,is it old or new?,red,blue,color', // outside
    '/etc/passwd,b.png,is it red or blue?,is it old or new?,red,blue,color', // outside
    'c.png,b.png,is it red or blue?,is it old or new?,red,blue,color', // missing
    ROW,
    ROW, // twice
  ];

  test('rows that cannot be used are left out, each named with its reason', async () => {
    const file = await folderWith([HEADER, ...broken].join('\n'));
    const { pairs, report } = await readManifest(file);
    expect(pairs).toHaveLength(1);
    expect(report).toMatchObject({ read: 10, kept: 1 });
    const named = report.drops.map(({ source, detail }) => `${source}: ${detail}`).join('\n');
    expect(named).toMatch(/set\.csv row 2 \(line 3\): corrupt_prompt is empty/);
    expect(named).toMatch(/row 8 \(line 9\): there is no image file "c\.png"/);
    expect(named).toMatch(/row 10 \(line 11\): the same as .* row 9/);
    expect(reasons(report.drops)).toEqual(
      [
        'cell-count',
        'duplicate-row',
        'empty-field',
        'image-missing',
        'image-outside',
        'image-outside',
        'same-images',
        'same-options',
        'surrounding-space',
      ].sort(),
    );
  });

  test('an id that no tensor can have is said before anything is measured', async () => {
    const { rows, problems } = parseManifest(`${HEADER},id\n${ROW},__metadata__\n`, 'x.csv');
    expect(rows).toEqual([]);
    expect(reasons(problems)).toEqual(['reserved-id']);
  });

  test('a manifest without any usable row is an error that names them', async () => {
    const error = await readManifest(await folderWith([HEADER, ...broken.slice(0, 3)].join('\n'))).catch(
      (e) => e,
    );
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(/no row that can be used:\n.*row 1 /);
    expect(error.problems).toHaveLength(3);
  });

  test('an id without a column of ids is of the row, wherever it stands', async () => {
    const rows = Array.from({ length: 5 }, (_, i) => ROW.replace('old', `old${i}`));
    const idsOf = async (...lines: string[]) =>
      (await readManifest(await folderWith([HEADER, ...lines].join('\n')))).pairs.map(({ id }) => id);
    const ids = await idsOf(...rows);
    for (const id of ids) expect(id).toMatch(/^set-[0-9a-f]{8}$/);
    expect(new Set(ids).size).toBe(5);
    expect(await idsOf(...[...rows].reverse().slice(1))).toEqual([...ids].reverse().slice(1));
    expect(await idsOf(rows[0] as string, ROW)).toEqual([
      ids[0],
      expect.not.stringMatching(ids[1] as string),
    ]);
  });

  test('an id twice is a problem', () => {
    const { problems } = parseManifest(`${HEADER},id\n${ROW},x\n${ROW.replace('old', 'tall')},x\n`, 's.csv');
    expect(problems).toMatchObject([{ reason: 'duplicate-id', source: 's.csv row 2 (line 3)' }]);
  });
});

describe('metadata', () => {
  test('a row without its line, or at odds with it, is a problem', async () => {
    const rows = [`${ROW},x`, `${ROW.replace('old', 'tall')},y`, `${ROW.replace('old', 'far')},z`];
    const file = await folderWith([`${HEADER},id`, ...rows].join('\n'));
    await writeText(file.replace('.csv', '.jsonl'), '{"id":"x","correct":"blue"}\n{"id":"z"}\n');
    const { pairs, report } = await readManifest(file);
    expect(pairs.map(({ id }) => id)).toEqual(['z']);
    expect(reasons(report.drops)).toEqual(['metadata-mismatch', 'metadata-missing']);
  });

  test('without a column of ids a line is found by the row or by the id', async () => {
    const file = await folderWith([HEADER, ROW, ROW.replace('old', 'tall')].join('\n'));
    const id = (await readManifest(file)).pairs[1]?.id;
    await writeText(file.replace('.csv', '.jsonl'), `{"id":"${id}","n":2}\n{"id":"set-000","n":1}\n`);
    expect((await readManifest(file)).pairs.map(({ metadata }) => metadata?.n)).toEqual([1, 2]);
  });

  test.each([
    ['{"id":"x"', /m\.jsonl line 1 is not JSON/],
    ['[1]', /line 1 is not a JSON object/],
    ['{"name":"x"}', /line 1 has no "id"/],
    ['{"id":"x"}\n{"id":"x"}', /line 2 repeats the id "x"/],
    [
      '{"id":"x","clean":{"objects":[{"box":[1,2,0,4]}]}}',
      /line 1, clean: a box must be .* found \[1,2,0,4\]/,
    ],
    ['{"id":"x","corrupt":{"face":{"boxes":{"mouth":[1,2,3]}}}}', /line 1, corrupt: a box must be/],
    ['{"id":"x","clean":5}', /line 1, clean: an image must be an object, found 5/],
    ['{"id":"x","clean":null}', /line 1, clean: an image must be an object, found null/],
    ['{"id":"x","clean":{"objects":5}}', /line 1, clean: "objects" must be a list, found 5/],
    ['{"id":"x","clean":{"objects":[null]}}', /each of "objects" must be an object, found null/],
    ['{"id":"x","clean":{"face":null}}', /"face" must be an object, found null/],
    ['{"id":"x","clean":{"face":{"boxes":[]}}}', /"boxes" must be an object, found \[\]/],
    ['{"id":"x","str_options":"ab"}', /line 1: str_options must be two texts, found "ab"/],
  ])('%s is an error', (text, message) => {
    expect(() => parseMetadata(text, 'm.jsonl')).toThrow(message);
  });

  test('another JSON lines file beside the manifest is not taken for metadata', async () => {
    const file = await folderWith(`${HEADER}\n${ROW}\n`);
    await writeText(join(file, '..', 'downloads.jsonl'), '{"name":"x","status":"failed"}\n');
    expect((await readManifest(file)).pairs[0]?.metadata).toBeUndefined();
  });
});

describe('writing', () => {
  test('what is written is read back the same', async () => {
    const folder = await freshFolder();
    const pair: Pair = {
      id: 'é-1',
      cleanImage: await writeImage(join(folder, 'images', 'ä, "b".png')),
      corruptImage: await writeImage(join(folder, 'images', 'c\nd.png')),
      cleanPrompt: 'Is this "thing",\nred or blue?',
      corruptPrompt: '=cmd|x or 青い?',
      correct: 'red',
      incorrect: 'blue',
      category: 'colour, mostly',
      metadata: { clean: { objects: [{ role: 'subject', box: [0, 0, 4.5, 8] }] }, note: 'ünïcode' },
    };
    const file = join(folder, 'out.csv');
    await writeManifest(file, [pair]);
    expect((await readManifest(file)).pairs).toEqual([pair]);
    expect((await readFile(file, 'utf8')).split('\n')[0]).toBe(`${HEADER},id`);
  });

  test('an image above the manifest and an id twice are errors', async () => {
    const { pairs } = await readManifest(join(data, 'scenes.csv'));
    const folder = await freshFolder();
    await expect(writeManifest(join(folder, 'x.csv'), pairs)).rejects.toThrow(/lies outside/);
    const pair = pairs[0] as Pair;
    await expect(writeManifest(join(data, 'x.csv'), [pair, pair])).rejects.toThrow(/Two pairs have the id/);
  });
});
