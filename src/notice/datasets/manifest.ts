// The manifest: NOTICE's seven CSV columns and an optional `id`, with JSON lines of metadata joined by id.
//
//   clean_image_path,corrupt_image_path,clean_prompt,corrupt_prompt,correct_answer,incorrect_answer,category[,id]
//   {"id": "scenes-000", "str_options": ["square", "heart"], "clean": {"objects": [{"role": "subject", "box": [...]}]}, ...}
//
// Image paths are relative to the manifest's folder and stay inside it. Text in, text out: files are manifest-file.ts.

import { stringify } from 'csv-stringify/sync';
import type { Box } from '../../analysis/patch-grid.ts';
import { fnv1a64, splitMix64 } from '../../random.ts';
import { parseTable, type TableRow } from './csv.ts';
import { DataError } from './errors.ts';
import type { Pair, PairMetadata } from './pair.ts';
import type { Drop } from './report.ts';

/** The columns of NOTICE's own files, in its order. */
export const MANIFEST_COLUMNS = [
  'clean_image_path',
  'corrupt_image_path',
  'clean_prompt',
  'corrupt_prompt',
  'correct_answer',
  'incorrect_answer',
  'category',
] as const;

/** A pair with the row it came from; image paths as written in the CSV. */
export interface ManifestRow {
  readonly source: string;
  readonly pair: Pair;
  /** What its metadata line may be called: its id, or without an `id` column `{stem}-{row}` as well, rows from 000. */
  readonly names: readonly string[];
}

export interface ParsedManifest {
  readonly rows: readonly ManifestRow[];
  /**
   * Rows that cannot be used. Reasons: cell-count, empty-field, surrounding-space, same-options, same-images,
   * reserved-id, image-outside, duplicate-row, duplicate-id, metadata-missing, metadata-mismatch.
   */
  readonly problems: readonly Drop[];
}

/**
 * Parses a manifest. Without an `id` column, a row's id is `{stem}-` and eight hex digits of a hash of its cells, so that
 * it stays what it is when other rows come, go or move: "scenes-3f9c04ab".
 * @param name the CSV's file name; its stem names the rows
 * @param metadata from `parseMetadata`; then every row must have its line
 * @throws DataError a broken table, as `parseTable`, or one without rows
 */
export function parseManifest(
  text: string,
  name: string,
  metadata?: ReadonlyMap<string, PairMetadata>,
): ParsedManifest {
  const table = parseTable(text, name, MANIFEST_COLUMNS);
  if (table.rows.length + table.drops.length === 0) {
    throw new DataError(`${name} has a header and no rows.`);
  }
  const stem = name.replace(/^.*[/\\]/, '').replace(/\.csv$/i, '');
  const problems: Drop[] = [...table.drops];
  const rows: ManifestRow[] = [];
  const seenIds = new Map<string, string>();
  const seenRows = new Map<string, string>();
  for (const row of table.rows) {
    const content = MANIFEST_COLUMNS.map((column) => row.cells[column]).join('\0');
    const pair = pairOf(row, row.cells.id ?? defaultId(stem, content, seenIds));
    const names = row.cells.id === undefined ? [pair.id, rowName(stem, row.index)] : [pair.id];
    const extra = names.map((name) => metadata?.get(name)).find((found) => found !== undefined);
    const problem =
      cellProblem(row.cells) ??
      repeated('duplicate-row', 'the same as', seenRows.get(content)) ??
      repeated('duplicate-id', `the id ${pair.id} stands also in`, seenIds.get(pair.id)) ??
      (metadata && metadataProblem(pair, names, extra));
    if (problem) {
      problems.push({ source: row.source, ...problem });
      continue;
    }
    seenRows.set(content, row.source);
    seenIds.set(pair.id, row.source);
    rows.push({ source: row.source, pair: extra ? { ...pair, metadata: extra } : pair, names });
  }
  return { rows, problems };
}

/**
 * Parses JSON lines of metadata: one object per line, with an `id` of its own.
 * @throws DataError naming file and line: no JSON object, no id, an id twice, or a box that is not four ordered numbers
 */
export function parseMetadata(text: string, name: string): Map<string, PairMetadata> {
  const metadata = new Map<string, PairMetadata>();
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .entries()) {
    if (line.trim() === '') continue;
    const where = `${name} line ${index + 1}`;
    const { id, ...fields } = parseObject(line, where);
    if (typeof id !== 'string' || id === '') throw new DataError(`${where} has no "id" of type string.`);
    if (metadata.has(id)) throw new DataError(`${where} repeats the id "${id}".`);
    checkMetadata(fields, where);
    metadata.set(id, fields as PairMetadata);
  }
  return metadata;
}

/** The manifest's CSV text, with the id as last column. Image paths are written as given. */
export function formatManifest(pairs: readonly Pair[]): string {
  const records = pairs.map((pair) => [
    pair.cleanImage,
    pair.corruptImage,
    pair.cleanPrompt,
    pair.corruptPrompt,
    pair.correct,
    pair.incorrect,
    pair.category,
    pair.id,
  ]);
  return stringify(records, {
    header: true,
    columns: [...MANIFEST_COLUMNS, 'id'],
    quote_record_delimiter: true,
  });
}

/** The metadata's JSON lines, one for each pair, in the pairs' order. */
export function formatMetadata(pairs: readonly Pair[]): string {
  return pairs.map(({ id, metadata }) => `${JSON.stringify({ id, ...metadata })}\n`).join('');
}

type Problem = Omit<Drop, 'source'>;

function rowName(stem: string, index: number): string {
  return `${stem}-${String(index).padStart(3, '0')}`;
}

/** Where another row has the same eight digits, all sixteen. */
function defaultId(stem: string, content: string, taken: ReadonlyMap<string, string>): string {
  const digits = splitMix64(fnv1a64(content))().toString(16).padStart(16, '0');
  const id = `${stem}-${digits.slice(0, 8)}`;
  return taken.has(id) ? `${stem}-${digits}` : id;
}

function pairOf({ cells }: TableRow, id: string): Pair {
  const cell = (column: (typeof MANIFEST_COLUMNS)[number]): string => cells[column] as string;
  return {
    id,
    cleanImage: cell('clean_image_path'),
    corruptImage: cell('corrupt_image_path'),
    cleanPrompt: cell('clean_prompt'),
    corruptPrompt: cell('corrupt_prompt'),
    correct: cell('correct_answer'),
    incorrect: cell('incorrect_answer'),
    category: cell('category'),
  };
}

/** A key of safetensors' own. */
const RESERVED_ID = '__metadata__';

function cellProblem(cells: TableRow['cells']): Problem | undefined {
  const used = 'id' in cells ? [...MANIFEST_COLUMNS, 'id'] : MANIFEST_COLUMNS;
  for (const column of used) {
    const value = cells[column] as string;
    if (value.trim() === '') return { reason: 'empty-field', detail: `${column} is empty` };
    if (value !== value.trim()) {
      return { reason: 'surrounding-space', detail: `${column} begins or ends with a space: "${value}"` };
    }
  }
  if (cells.id === RESERVED_ID) {
    return {
      reason: 'reserved-id',
      detail: `the id ${RESERVED_ID} cannot name a tensor in a file of results`,
    };
  }
  for (const column of ['clean_image_path', 'corrupt_image_path'] as const) {
    const path = cells[column] as string;
    if (leavesFolder(path)) {
      const detail = `${column} leaves the manifest's folder: "${path}". Paths are relative to it, without ".."`;
      return { reason: 'image-outside', detail };
    }
  }
  if (cells.correct_answer === cells.incorrect_answer) {
    return { reason: 'same-options', detail: `both answers are "${cells.correct_answer}"` };
  }
  if (cells.clean_image_path === cells.corrupt_image_path) {
    return { reason: 'same-images', detail: `both images are "${cells.clean_image_path}"` };
  }
  return undefined;
}

function leavesFolder(path: string): boolean {
  return /^([/\\]|[A-Za-z]:)/.test(path) || path.split(/[/\\]/).includes('..');
}

function repeated(reason: string, words: string, first: string | undefined): Problem | undefined {
  return first === undefined ? undefined : { reason, detail: `${words} ${first}` };
}

function metadataProblem(
  pair: Pair,
  names: readonly string[],
  found: PairMetadata | undefined,
): Problem | undefined {
  if (!found) {
    const detail = `no metadata line has the id ${names.map((name) => `"${name}"`).join(' or ')}`;
    return { reason: 'metadata-missing', detail };
  }
  for (const field of ['correct', 'incorrect', 'category'] as const) {
    if (typeof found[field] === 'string' && found[field] !== pair[field]) {
      const detail = `${field} is "${pair[field]}", in the metadata of ${names.at(-1)} "${found[field]}"`;
      return { reason: 'metadata-mismatch', detail };
    }
  }
  return undefined;
}

function parseObject(line: string, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new DataError(`${where} is not JSON: ${(error as Error).message}`, { cause: error });
  }
  if (!isObject(value)) throw new DataError(`${where} is not a JSON object.`);
  return value;
}

/** What is read of a metadata line has the form that the types say; any further field may be anything. */
function checkMetadata({ str_options, clean, corrupt }: Record<string, unknown>, where: string): void {
  const texts = Array.isArray(str_options) && str_options.every((option) => typeof option === 'string');
  if (str_options !== undefined && !(texts && str_options.length === 2))
    throw new DataError(`${where}: str_options must be two texts, found ${JSON.stringify(str_options)}.`);
  checkImage(clean, `${where}, clean`);
  checkImage(corrupt, `${where}, corrupt`);
}

function checkImage(image: unknown, where: string): void {
  if (image === undefined) return;
  const object = (value: unknown, what: string): Record<string, unknown> => {
    if (isObject(value)) return value;
    throw new DataError(`${where}: ${what} must be an object, found ${JSON.stringify(value)}.`);
  };
  const { objects = [], face = {} } = object(image, 'an image');
  if (!Array.isArray(objects))
    throw new DataError(`${where}: "objects" must be a list, found ${JSON.stringify(objects)}.`);
  const { boxes: parts = {} } = object(face, '"face"');
  const boxes = [
    ...objects.map((value) => object(value, 'each of "objects"').box),
    ...Object.values(object(parts, '"boxes"')),
  ];
  for (const box of boxes) {
    if (box !== undefined && !isBox(box)) {
      throw new DataError(
        `${where}: a box must be [left, top, right, bottom], found ${JSON.stringify(box)}.`,
      );
    }
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isBox(box: unknown): box is Box {
  if (!Array.isArray(box) || box.length !== 4 || !box.every(Number.isFinite)) return false;
  const [left, top, right, bottom] = box as [number, number, number, number];
  return right > left && bottom > top;
}
