// A file on a server, read in pieces: whatever is asked for, whole pieces are requested, several of them at once where reading
// goes on, and none twice as long as memory or a store keeps it.

import { NetworkError } from '../hub/errors.ts';
import { retrying } from '../hub/http.ts';
import { type ByteSource, checkRange } from './byte-source.ts';
import type { KeptParts } from './file-store.ts';
import { type Address, askRange } from './http-range.ts';
import type { PieceMemory } from './piece-memory.ts';

/** The first piece: most small files are no longer, most safetensors headers neither. */
export const FIRST_BYTES = 64 * 1024;
const PIECE_BYTES = 8 * 1024 * 1024;
/** Pieces that one request asks for where they are read one after the other. */
const READ_AHEAD = 4;

export interface RemoteFileOptions {
  readonly address: Address;
  /** Bytes. */
  readonly size: number;
  readonly memory: PieceMemory;
  /** Where pieces are kept for longer. */
  readonly kept?: KeptParts | undefined;
  /** The largest file that memory holds whole, if the server ignores ranges and nothing is kept elsewhere. */
  readonly maxWholeBytes: number;
  /** The ETag that the file had when it was opened, if that is known. */
  readonly etag?: string | undefined;
}

/** A piece that is on its way. */
interface Coming {
  readonly bytes: Promise<Uint8Array<ArrayBuffer>>;
  readonly resolve: (bytes: Uint8Array<ArrayBuffer>) => void;
  readonly reject: (reason: unknown) => void;
}

export class RemoteFile {
  readonly #options: RemoteFileOptions;
  readonly #coming = new Map<number, Coming>();
  /** Pieces that somebody has asked for. */
  readonly #asked = new Set<number>();
  /** All pieces of a file that came whole and that no store holds: another request would bring the whole file again. */
  readonly #held = new Map<number, Uint8Array<ArrayBuffer>>();
  #users = 0;
  #requests = new AbortController();

  constructor(options: RemoteFileOptions) {
    this.#options = options;
  }

  /** The file for one more reader. When all have closed it, what is on its way is given up. */
  open(): ByteSource {
    const { address, size } = this.#options;
    this.#users++;
    let closed = false;
    return {
      name: address.url,
      size,
      read: (offset, length) => this.#read(offset, length),
      close: async () => {
        if (closed) return;
        closed = true;
        if (--this.#users > 0) return;
        this.#requests.abort(new NetworkError(address.url, 'the file was closed', { temporary: false }));
        this.#requests = new AbortController();
      },
    };
  }

  /** Takes the first piece, with which the file's size came. */
  async takeFirst(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#keep(0, bytes);
  }

  async #read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const { address, size } = this.#options;
    checkRange({ name: address.url, size } as ByteSource, offset, length);
    const bytes = new Uint8Array(length);
    for (let at = offset; at < offset + length; ) {
      const piece = pieceAt(at);
      const { begin, end } = this.#rangeOf(piece);
      const part = await this.#piece(piece);
      const until = Math.min(end, offset + length);
      bytes.set(part.subarray(at - begin, until - begin), at - offset);
      at = until;
    }
    return bytes;
  }

  async #piece(piece: number): Promise<Uint8Array<ArrayBuffer>> {
    const { memory, kept } = this.#options;
    const { begin, end } = this.#rangeOf(piece);
    const goesOn = piece > 1 && this.#asked.has(piece - 1);
    this.#asked.add(piece);
    const found = this.#held.get(piece) ?? memory.get(this, piece) ?? (await this.#coming.get(piece)?.bytes);
    if (found) return found;
    const stored = kept?.has(begin, end) ? await kept.read(begin, end) : undefined;
    if (stored) memory.set(this, piece, stored);
    return stored ?? (this.#coming.get(piece) ?? this.#request(piece, goesOn ? READ_AHEAD : 1)).bytes;
  }

  /** Asks for a piece and what is missing behind it. */
  #request(first: number, count: number): Coming {
    let end = first + 1;
    while (end < first + count && end < this.#pieces && !this.#isThere(end)) end++;
    const coming = this.#expect(first);
    for (let piece = first + 1; piece < end; piece++) this.#expect(piece);
    void this.#receive(first, end, this.#requests.signal);
    return coming;
  }

  #expect(piece: number): Coming {
    let settle: Pick<Coming, 'resolve' | 'reject'> | undefined;
    const bytes = new Promise<Uint8Array<ArrayBuffer>>((resolve, reject) => {
      settle = { resolve, reject };
    });
    bytes.catch(() => {}); // whoever waits hears of it
    const coming = { bytes, ...(settle as Pick<Coming, 'resolve' | 'reject'>) };
    this.#coming.set(piece, coming);
    return coming;
  }

  /** Receives the pieces from `first` to before `last`, or all if the server sends the whole file. */
  async #receive(first: number, last: number, closed: AbortSignal): Promise<void> {
    const { address, size, etag } = this.#options;
    const { http } = address;
    const signal = http.signal ? AbortSignal.any([closed, http.signal]) : closed;
    let whole = false;
    let at = this.#rangeOf(first).begin;
    let end = this.#rangeOf(last - 1).end;
    let piece = first;
    let filled = new Uint8Array(this.#length(first));
    try {
      await retrying(
        address.url,
        { ...http, signal },
        async (watch) => {
          const answer = await askRange(address, at, end, watch, { size, etag });
          if (answer.whole && !whole) {
            this.#checkWhole(this.#options.kept !== undefined);
            whole = true;
            [piece, at, end, filled] = [0, 0, size, new Uint8Array(this.#length(0))];
            for (let other = 0; other < this.#pieces; other++) if (!this.#isThere(other)) this.#expect(other);
          }
          let position = answer.begin;
          for await (const received of answer.pieces) {
            if (position + received.length > end)
              throw new NetworkError(address.url, `the server sends more than the ${end} bytes asked for`, {
                temporary: false,
              });
            let from = Math.min(received.length, Math.max(0, at - position));
            position += received.length;
            while (from < received.length) {
              const { begin } = this.#rangeOf(piece);
              const count = Math.min(filled.length - (at - begin), received.length - from);
              filled.set(received.subarray(from, from + count), at - begin);
              from += count;
              at += count;
              if (at - begin < filled.length) continue;
              await this.#keep(piece, filled, whole);
              piece++;
              if (piece < this.#pieces) filled = new Uint8Array(this.#length(piece));
            }
          }
          if (at < end)
            throw new NetworkError(address.url, `ended after ${at} of ${end} bytes`, { temporary: true });
        },
        async () => at,
      );
    } catch (error) {
      for (let missing = piece; missing < this.#pieces; missing++) {
        if (!whole && missing >= last) break;
        this.#coming.get(missing)?.reject(error);
        this.#coming.delete(missing);
      }
    }
  }

  /** Hands a piece to those who wait for it, and to what keeps it. */
  async #keep(piece: number, bytes: Uint8Array<ArrayBuffer>, whole = false): Promise<void> {
    const { memory, kept } = this.#options;
    if (this.#isThere(piece) && !this.#coming.has(piece)) return;
    const { begin, end } = this.#rangeOf(piece);
    this.#coming.get(piece)?.resolve(bytes);
    this.#coming.delete(piece);
    memory.set(this, piece, bytes);
    const stored = kept?.has(begin, end) || (await kept?.write(begin, bytes));
    if (!whole || stored) return;
    this.#checkWhole(false);
    this.#held.set(piece, bytes);
  }

  /**
   * @param stored whether a store keeps the pieces
   * @throws NetworkError if it does not, and memory must not hold the whole file either
   */
  #checkWhole(stored: boolean): void {
    const { address, size, maxWholeBytes } = this.#options;
    if (stored || size <= maxWholeBytes) return;
    throw new NetworkError(
      address.url,
      `the server ignores range requests, and the file has ${size} bytes; without ranges at most ${maxWholeBytes} are ` +
        'held in memory. Use a server with range requests, a store (`cache`), or a local folder',
      { temporary: false },
    );
  }

  #isThere(piece: number): boolean {
    const { memory, kept } = this.#options;
    const { begin, end } = this.#rangeOf(piece);
    const here = this.#coming.has(piece) || this.#held.has(piece) || memory.has(this, piece);
    return here || kept?.has(begin, end) === true;
  }

  get #pieces(): number {
    return pieceAt(Math.max(0, this.#options.size - 1)) + 1;
  }

  #length(piece: number): number {
    const { begin, end } = this.#rangeOf(piece);
    return end - begin;
  }

  #rangeOf(piece: number): { readonly begin: number; readonly end: number } {
    const begin = piece === 0 ? 0 : FIRST_BYTES + (piece - 1) * PIECE_BYTES;
    const end = piece === 0 ? FIRST_BYTES : begin + PIECE_BYTES;
    return { begin, end: Math.min(end, this.#options.size) };
  }
}

/** The piece that holds a byte. */
function pieceAt(byte: number): number {
  return byte < FIRST_BYTES ? 0 : 1 + Math.floor((byte - FIRST_BYTES) / PIECE_BYTES);
}
