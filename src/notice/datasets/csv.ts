// CSV tables with a header, read so that a broken row is named instead of ending the whole file.

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { CsvError, type InfoRecord, type Options, parse as parseStream } from 'csv-parse';
import { parse as parseText } from 'csv-parse/sync';
import { DataError } from './errors.ts';
import type { Drop } from './report.ts';

/** One data row. */
export interface TableRow {
  /** "file.csv row 3 (line 4)": rows count from 1 after the header. */
  readonly source: string;
  /** Row number from 0 after the header; broken rows are counted. */
  readonly index: number;
  /** Cell by column name. Every required column is there; a cell may be empty. */
  readonly cells: Readonly<Record<string, string>>;
}

export interface Table {
  readonly columns: readonly string[];
  readonly rows: readonly TableRow[];
  /** Rows whose number of cells is not the header's: reason "cell-count". */
  readonly drops: readonly Drop[];
}

interface RawRecord {
  readonly record: string[];
  readonly info: InfoRecord;
}

// Cell counts are checked here, row by row, so the parser must not stop at the first wrong one.
const options = {
  bom: true,
  info: true,
  record_delimiter: ['\r\n', '\n', '\r'], // also mixed in one file, as editors leave them
  relax_column_count: true,
  skip_empty_lines: true,
} satisfies Options;

/**
 * Parses a CSV text with a header line (BOM, quoted cells, CRLF allowed).
 * @param name file name, for messages
 * @param required columns that must be there, in any order, beside any others
 * @throws DataError no header, a column missing or named twice, or an unclosed quote
 */
export function parseTable(text: string, name: string, required: readonly string[]): Table {
  const drops: Drop[] = [];
  const decoder = new TableDecoder(name, required, drops);
  try {
    const rows = (parseText(text, options) as unknown as RawRecord[]).map((raw) => decoder.decode(raw));
    decoder.end();
    return { columns: decoder.columns, rows: rows.filter((row) => row !== undefined), drops };
  } catch (error) {
    throw asDataError(name, error);
  }
}

/**
 * The same, row by row from a file of any size. Broken rows are added to `drops`.
 * @throws DataError as `parseTable`, and for a file that cannot be read or is not UTF-8
 */
export async function* streamTable(
  file: string,
  required: readonly string[],
  drops: Drop[],
): AsyncGenerator<TableRow> {
  const decoder = new TableDecoder(file, required, drops);
  // `pipeline` carries a read error over to the parser, which the loop then throws.
  const parser = pipeline(createReadStream(file), checkUtf8, parseStream(options), () => {});
  try {
    for await (const raw of parser as AsyncIterable<RawRecord>) {
      const row = decoder.decode(raw);
      if (row) yield row;
    }
    decoder.end();
  } catch (error) {
    throw asDataError(file, error);
  }
}

/** Passes bytes on. Without this, what is not UTF-8 would be read as U+FFFD. */
async function* checkUtf8(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const chunk of chunks) {
    decoder.decode(chunk, { stream: true });
    yield chunk;
  }
  decoder.decode();
}

class TableDecoder {
  readonly #name: string;
  readonly #required: readonly string[];
  readonly #drops: Drop[];
  #index = 0;
  columns: readonly string[] = [];

  constructor(name: string, required: readonly string[], drops: Drop[]) {
    this.#name = name;
    this.#required = required;
    this.#drops = drops;
  }

  /** The row, or nothing for the header and for a broken row. */
  decode({ record, info }: RawRecord): TableRow | undefined {
    if (this.columns.length === 0) {
      this.columns = this.#header(record);
      return undefined;
    }
    const index = this.#index++;
    const source = `${this.#name} row ${index + 1} (line ${info.lines})`;
    if (record.length !== this.columns.length) {
      const detail = `${record.length} cells where the header has ${this.columns.length}`;
      this.#drops.push({ source, reason: 'cell-count', detail });
      return undefined;
    }
    const cells = Object.fromEntries(this.columns.map((column, i) => [column, record[i] as string]));
    return { source, index, cells };
  }

  end(): void {
    if (this.columns.length === 0) throw new DataError(`${this.#name} is empty: it has no header line.`);
  }

  #header(record: string[]): string[] {
    const columns = record.map((column) => column.trim());
    const twice = columns.find((column, i) => columns.indexOf(column) !== i);
    if (twice !== undefined) throw new DataError(`${this.#name} has two columns named "${twice}".`);
    const missing = this.#required.filter((column) => !columns.includes(column));
    if (missing.length > 0) {
      throw new DataError(
        `${this.#name} lacks the column${missing.length > 1 ? 's' : ''} ${missing.join(', ')}. It has ${columns.join(', ')}.`,
      );
    }
    return columns;
  }
}

function asDataError(name: string, error: unknown): unknown {
  if (error instanceof CsvError) {
    return new DataError(`${name} is not sound CSV: ${error.message}.`, { cause: error });
  }
  if (error instanceof TypeError && 'code' in error && error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
    return new DataError(`${name} is not UTF-8 text. Save it as UTF-8.`, { cause: error });
  }
  if (error instanceof Error && 'syscall' in error) {
    return new DataError(`${name} cannot be read: ${error.message}`, { cause: error });
  }
  return error;
}
