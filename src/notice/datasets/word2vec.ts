// Word vectors in word2vec's binary format, and their cosine similarity.
//
//   "{words} {dimensions}\n", then for each word its bytes, a space, `dimensions` little-endian f32, and often "\n".

import { createReadStream } from 'node:fs';
import { DataError } from './errors.ts';

export type WordVectors = ReadonlyMap<string, Float32Array>;

/**
 * Reads the vectors of some words in one pass, without holding the others (GoogleNews has 3 million, 3.6 GB), and stops
 * when all are found. A word that the file lacks is not in the result.
 * @throws DataError unreadable, no word2vec header, or cut short
 */
export async function readWordVectors(file: string, wanted: Iterable<string>): Promise<WordVectors> {
  const stream = createReadStream(file, { highWaterMark: 1 << 20 });
  const reader = new ByteReader(stream[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>);
  const missing = new Set(wanted);
  const vectors = new Map<string, Float32Array>();
  try {
    const header = await reader.until(NEWLINE, 64);
    const sizes = header && /^(\d+) (\d+)\r?$/.exec(text(header));
    if (!sizes)
      throw new DataError(`${file} is no word2vec binary: its first line is not "words dimensions".`);
    const [count, dimensions] = [Number(sizes[1]), Number(sizes[2])];
    for (let n = 0; n < count && missing.size > 0; n++) {
      const name = await reader.until(SPACE, 4096);
      const bytes = name && (await reader.take(4 * dimensions));
      if (!bytes) throw new DataError(`${file} ends in word ${n + 1} of ${count}. Download it again.`);
      const word = text(name).replace(/^\n/, '');
      if (missing.delete(word)) vectors.set(word, floats(bytes, dimensions));
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`${file} cannot be read: ${(error as Error).message}`, { cause: error });
  } finally {
    stream.destroy();
  }
  return vectors;
}

/** Cosine of the angle between two vectors of the same length; 0 where one of them is zero. */
export function cosineSimilarity(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i] as number, b[i] as number];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa > 0 && bb > 0 ? dot / Math.sqrt(aa * bb) : 0;
}

const NEWLINE = 10;
const SPACE = 32;
const decoder = new TextDecoder();
const text = (bytes: Uint8Array): string => decoder.decode(bytes);

function floats(bytes: Uint8Array, count: number): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return Float32Array.from({ length: count }, (_, i) => view.getFloat32(4 * i, true));
}

/** Takes pieces of any length from a stream of chunks. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #bytes = new Uint8Array(0);
  #at = 0;

  constructor(chunks: AsyncIterator<Uint8Array>) {
    this.#chunks = chunks;
  }

  /** `length` bytes, or nothing if the stream ends before. */
  async take(length: number): Promise<Uint8Array | undefined> {
    while (this.#bytes.length - this.#at < length) if (!(await this.#more())) return undefined;
    const start = this.#at;
    this.#at += length;
    return this.#bytes.subarray(start, this.#at);
  }

  /** The bytes before the next `end`, which is passed over; nothing if it does not come within `most` bytes. */
  async until(end: number, most: number): Promise<Uint8Array | undefined> {
    let found = this.#bytes.indexOf(end, this.#at);
    while (found < 0) {
      if (this.#bytes.length - this.#at > most || !(await this.#more())) return undefined;
      found = this.#bytes.indexOf(end, this.#at);
    }
    const piece = this.#bytes.subarray(this.#at, found);
    this.#at = found + 1;
    return piece.length <= most ? piece : undefined;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#chunks.next();
    if (done) return false;
    const rest = this.#bytes.subarray(this.#at);
    const joined = new Uint8Array(rest.length + value.length);
    joined.set(rest);
    joined.set(value, rest.length);
    this.#bytes = joined;
    this.#at = 0;
    return true;
  }
}
