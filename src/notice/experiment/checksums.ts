// What tells a damaged file of a results folder from a sound one: run.json and every answer end with a checksum of their own;
// that of a part's file lies in checksums/, in the form that `sha256sum -c` reads.

import { createHash } from 'node:crypto';
import { parse } from 'csv-parse/sync';
import { stringify } from 'csv-stringify/sync';
import { NoticeError } from '../../errors.ts';
import type { KeyedEvaluation } from './answers.ts';

const digest = (text: string): string => createHash('sha256').update(text).digest('hex');

/** An object as JSON, with a last field `checksum` over all before it. */
export function seal(value: object): string {
  const body = JSON.stringify(value, undefined, 2);
  return `${body.slice(0, -2)},\n  "checksum": "${digest(body)}"\n}\n`;
}

/** @throws NoticeError('data') if it is not as {@link seal} wrote it */
export function unseal(text: string, path: string): unknown {
  const [, body, checksum] = /^(.*),\n {2}"checksum": "([0-9a-f]{64})"\n}\n$/s.exec(text) ?? [];
  if (body === undefined || digest(`${body}\n}`) !== checksum)
    throw new NoticeError(
      'data',
      `${path} is damaged, or not of this version: its checksum does not fit. Without it \`notice run\` goes on with the results beside it.`,
    );
  return JSON.parse(`${body}\n}`);
}

const COLUMNS = [
  'id',
  'category',
  'correct',
  'incorrect',
  'answer',
  'corruptAnswer',
  'cleanCorrect',
  'corruptIncorrect',
  'key',
] as const satisfies readonly (keyof KeyedEvaluation)[];

/** Text is written as it is, since it is read again: nothing is done about what a spreadsheet takes for a formula. */
const CSV = { record_delimiter: '\r\n', quoted_match: /[\r\n]/ };
export const ANSWERS_HEADER = stringify([[...COLUMNS, 'checksum']], CSV);

/** Lines of a table of answers. */
export function formatAnswers(evaluations: readonly KeyedEvaluation[]): string {
  const rows = evaluations.map((row) => COLUMNS.map((name) => String(row[name])));
  return stringify(
    rows.map((cells) => [...cells, rowChecksum(cells)]),
    CSV,
  );
}

const rowChecksum = (cells: readonly string[]): string => digest(JSON.stringify(cells)).slice(0, 16);

export interface ReadAnswers {
  readonly rows: readonly KeyedEvaluation[];
  /** Whether the file ends within a line, as after a crash. */
  readonly cut: boolean;
  /** Whether something else is wrong with it. */
  readonly damaged: boolean;
}

/** Lines that a cell with line breaks may go over. */
const MOST_LINES = 8;

/** The lines that are as they were written. */
export function parseAnswers(text: string): ReadAnswers {
  if (!text.startsWith(ANSWERS_HEADER)) {
    const cut = ANSWERS_HEADER.startsWith(text);
    return { rows: [], cut, damaged: !cut };
  }
  const lines = text.slice(ANSWERS_HEADER.length).split('\r\n');
  const last = lines.pop();
  const rows: KeyedEvaluation[] = [];
  let lost = 0;
  for (let at = 0; at < lines.length; ) {
    let length = 1;
    let row = parseAnswer(lines[at] as string);
    while (!row && length < MOST_LINES && at + length < lines.length)
      row = parseAnswer(lines.slice(at, at + ++length).join('\r\n'));
    if (row) rows.push(row);
    else lost++;
    at += row ? length : 1;
  }
  return { rows, cut: last !== '', damaged: lost > 0 };
}

function parseAnswer(line: string): KeyedEvaluation | undefined {
  let cells: string[] | undefined;
  try {
    [cells] = parse(line, { record_delimiter: '\r\n' }) as string[][];
  } catch {
    // Half a cell, or damaged.
  }
  const checksum = cells?.pop();
  if (!cells || rowChecksum(cells) !== checksum) return undefined;
  const row = Object.fromEntries(COLUMNS.map((name, i) => [name, cells[i]])) as Record<
    keyof KeyedEvaluation,
    string
  >;
  return {
    ...row,
    cleanCorrect: row.cleanCorrect === 'true',
    corruptIncorrect: row.corruptIncorrect === 'true',
  };
}
