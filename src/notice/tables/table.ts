// Tables of results as CSV for programs and Markdown for people.

import { stringify } from 'csv-stringify/sync';
import { markdownTable as alignedTable } from 'markdown-table';
import { formatNumber } from './format.ts';

export type TableValue = string | number | null | undefined;

export interface Column<Row> {
  readonly name: string;
  readonly value: (row: Row) => TableValue;
  /** Significant digits in Markdown, default 3; CSV always has all of them. */
  readonly digits?: number;
  /** Markdown's alignment; default by the first row: numbers right, text left. */
  readonly align?: 'left' | 'right';
}

/**
 * CSV by RFC 4180 with a header, lines ending in CRLF, numbers in full precision, missing values empty. Text that a
 * spreadsheet would run as a formula (it begins with =, +, -, @, tab or CR) gets an apostrophe in front: prompts and
 * answers come from data sets.
 */
export function csvTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const records = rows.map((row) => columns.map((column) => column.value(row)));
  return stringify([columns.map(({ name }) => name), ...records], {
    record_delimiter: 'windows',
    quote_record_delimiter: true, // a lone CR or LF, too
    escape_formulas: true,
  });
}

/** A Markdown (GFM) table; text is escaped so that it is shown as it is. */
export function markdownTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const cells = rows.map((row) =>
    columns.map(({ value, digits }) => {
      const found = value(row);
      return typeof found === 'string' ? escapeMarkdown(found) : formatNumber(found, digits);
    }),
  );
  const align = columns.map(({ align, value }) => {
    const first = rows[0] === undefined ? undefined : value(rows[0]);
    return align ?? (typeof first === 'string' ? 'left' : 'right');
  });
  const header = columns.map(({ name }) => escapeMarkdown(name));
  return `${alignedTable([header, ...cells], { align })}\n`;
}

/** Markup characters of Markdown and HTML get a backslash or an entity, line breaks a space. */
function escapeMarkdown(text: string): string {
  return text
    .replace(/[\\`*_[\]|~#]/g, '\\$&')
    .replace(/&/g, '&amp;')
    .replace(/</g, '&lt;')
    .replace(/>/g, '&gt;')
    .replace(/\s+/g, ' ');
}
