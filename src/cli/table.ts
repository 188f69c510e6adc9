// Tables for the terminal.

import { markdownTable } from 'markdown-table';
import { formatNumber } from '../notice/tables/format.ts';
import type { Column } from '../notice/tables/table.ts';

/**
 * Rows under their columns' names, numbers right-aligned. Text is shown as it is, but for line breaks and control
 * characters: file names and answers come from data sets and must not steer the terminal.
 */
export function terminalTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const values = rows.map((row) => columns.map(({ value }) => value(row)));
  const align = columns.map((_, i) => (typeof values[0]?.[i] === 'string' ? 'left' : 'right'));
  const cells = values.map((row) =>
    row.map((value, i) =>
      typeof value === 'string' ? printable(value) : formatNumber(value, columns[i]?.digits),
    ),
  );
  return markdownTable([columns.map(({ name }) => name), ...cells], { align });
}

function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ');
}
