// Tables that are asked for again with the same words: positions, row numbers and attention plans are made for every layer, and
// in most walks they are the same in all.

import type { Words } from './work.ts';

/** Tables of one label that are kept while nobody uses them: layers may take turns (windows, cross-attention). */
const KEPT = 4;

interface Table {
  readonly words: Words;
  readonly buffer: GPUBuffer;
  uses: number;
}

/** The tables of one work. */
export class SharedWords {
  readonly #upload: (values: Words, label: string) => GPUBuffer;
  readonly #release: (buffer: GPUBuffer) => void;
  /** By label, those used last at the end. */
  readonly #tables = new Map<string, Table[]>();
  readonly #byBuffer = new Map<GPUBuffer, Table>();

  constructor(upload: (values: Words, label: string) => GPUBuffer, release: (buffer: GPUBuffer) => void) {
    this.#upload = upload;
    this.#release = release;
  }

  /** The buffer that has these words already, or a new one. */
  get(values: Words, label: string): GPUBuffer {
    const tables = this.#tables.get(label) ?? [];
    this.#tables.set(label, tables);
    const at = tables.findLastIndex(({ words }) => sameWords(words, values));
    const [found] = at >= 0 ? tables.splice(at, 1) : [];
    const table = found ?? { words: values.slice(), buffer: this.#upload(values, label), uses: 0 };
    table.uses++;
    tables.push(table);
    this.#byBuffer.set(table.buffer, table);
    for (let i = 0; i < tables.length && tables.length > KEPT; ) {
      const { buffer, uses } = tables[i] as Table;
      if (uses > 0) i++;
      else {
        tables.splice(i, 1);
        this.#byBuffer.delete(buffer);
        this.#release(buffer);
      }
    }
    return table.buffer;
  }

  /** Takes a buffer back; false if it is none of these. */
  giveBack(buffer: GPUBuffer): boolean {
    const table = this.#byBuffer.get(buffer);
    if (!table) return false;
    if (table.uses === 0) throw new Error(`buffer "${buffer.label}" released twice`);
    table.uses--;
    return true;
  }
}

function sameWords(a: Words, b: Words): boolean {
  if (a.byteLength !== b.byteLength) return false;
  const [mine, theirs] = [wordsOf(a), wordsOf(b)];
  for (let i = 0; i < mine.length; i++) if (mine[i] !== theirs[i]) return false;
  return true;
}

function wordsOf({ buffer, byteOffset, byteLength }: Words): Uint32Array {
  return new Uint32Array(buffer, byteOffset, byteLength / 4);
}
