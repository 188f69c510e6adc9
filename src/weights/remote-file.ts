// A file on a server, read in pieces: whatever is asked for, whole pieces are requested, several of them at once where reading
// goes on, and none twice as long as memory or a store keeps it.

import { NetworkError } from '../hub/errors.ts';
import { retrying, type Watch } from '../hub/http.ts';
import { type ByteSource, checkRange } from './byte-source.ts';
import { type Piece, PieceFiller, pieceAt, pieceCount, pieceRange } from './file-pieces.ts';
import type { KeptParts } from './file-store.ts';
import { type Address, askRange } from './http-range.ts';
import type { PieceMemory } from './piece-memory.ts';

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

/** A request that brings pieces, and is sent again from where it stopped. */
interface Transfer {
  readonly expected: Map<number, Coming>;
  filler: PieceFiller;
  /** Where the bytes end that are asked for. */
  end: number;
  /** Whether the server sends the whole file. */
  whole: boolean;
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
        const reason = this.#closed;
        this.#requests.abort(reason);
        this.#requests = new AbortController();
        this.#giveUp(this.#coming, reason);
      },
    };
  }

  /** Takes the first piece, with which the file's size came. */
  async takeFirst(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#keep({ piece: 0, bytes }, false);
  }

  async #read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const { address, size } = this.#options;
    checkRange({ name: address.url, size }, offset, length);
    const bytes = new Uint8Array(length);
    for (let at = offset; at < offset + length; ) {
      const piece = pieceAt(at);
      const { begin, end } = pieceRange(piece, size);
      const part = await this.#piece(piece);
      const until = Math.min(end, offset + length);
      bytes.set(part.subarray(at - begin, until - begin), at - offset);
      at = until;
    }
    return bytes;
  }

  async #piece(piece: number): Promise<Uint8Array<ArrayBuffer>> {
    const { memory, kept, size } = this.#options;
    const { begin, end } = pieceRange(piece, size);
    const goesOn = piece > 1 && this.#asked.has(piece - 1);
    this.#asked.add(piece);
    const found = this.#held.get(piece) ?? memory.get(this, piece) ?? (await this.#coming.get(piece)?.bytes);
    if (found) return found;
    const stored = kept?.has(begin, end) ? await kept.read(begin, end) : undefined;
    if (stored) memory.set(this, piece, stored);
    return stored ?? (this.#coming.get(piece) ?? this.#request(piece, goesOn ? READ_AHEAD : 1)).bytes;
  }

  get #closed(): NetworkError {
    return new NetworkError(this.#options.address.url, 'the file was closed', { temporary: false });
  }

  /** Asks for a piece and what is missing behind it, `count` pieces at most. */
  #request(first: number, count: number): Coming {
    if (this.#users === 0) throw this.#closed; // meanwhile
    const { size } = this.#options;
    const most = Math.min(first + count, pieceCount(size));
    const expected = new Map([[first, this.#expect(first)]]);
    let last = first;
    while (last + 1 < most && !this.#isThere(last + 1)) expected.set(++last, this.#expect(last));
    const { end } = pieceRange(last, size);
    const transfer = { expected, filler: new PieceFiller(size, first), end, whole: false };
    void this.#receive(transfer, this.#requests.signal);
    return expected.get(first) as Coming;
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

  #giveUp(expected: ReadonlyMap<number, Coming>, reason: unknown): void {
    for (const [piece, coming] of [...expected]) {
      coming.reject(reason);
      // Somebody else may have asked for it since.
      if (this.#coming.get(piece) === coming) this.#coming.delete(piece);
    }
  }

  async #receive(transfer: Transfer, closed: AbortSignal): Promise<void> {
    const { url, http } = this.#options.address;
    const signal = http.signal ? AbortSignal.any([closed, http.signal]) : closed;
    try {
      await retrying(
        url,
        { ...http, signal },
        (watch) => this.#receiveOnce(transfer, watch),
        async () => transfer.filler.at,
      );
    } catch (error) {
      this.#giveUp(transfer.expected, error);
    }
  }

  async #receiveOnce(transfer: Transfer, watch: Watch): Promise<void> {
    const { address, size, etag } = this.#options;
    const answer = await askRange(address, transfer.filler.at, transfer.end, watch, { size, etag });
    if (answer.whole && !transfer.whole) this.#expectWhole(transfer);
    const { filler, end, whole } = transfer;
    let position = answer.begin;
    for await (const received of answer.pieces) {
      if (position + received.length > end)
        throw new NetworkError(address.url, `the server sends more than the ${end} bytes asked for`, {
          temporary: false,
        });
      for (const piece of filler.fill(received, position)) await this.#keep(piece, whole);
      position += received.length;
    }
    if (filler.at < end)
      throw new NetworkError(address.url, `ended after ${filler.at} of ${end} bytes`, { temporary: true });
  }

  /** The server sends the whole file, whatever it was asked for: all of it is taken, so that it need not come again. */
  #expectWhole(transfer: Transfer): void {
    const { size, kept } = this.#options;
    this.#checkWhole(kept !== undefined);
    for (let piece = 0; piece < pieceCount(size); piece++)
      if (!this.#isThere(piece)) transfer.expected.set(piece, this.#expect(piece));
    Object.assign(transfer, { filler: new PieceFiller(size, 0), end: size, whole: true });
  }

  /** Hands a piece to those who wait for it, and to what keeps it. */
  async #keep({ piece, bytes }: Piece, whole: boolean): Promise<void> {
    const { memory, kept, size } = this.#options;
    const { begin, end } = pieceRange(piece, size);
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
    const { memory, kept, size } = this.#options;
    const { begin, end } = pieceRange(piece, size);
    const here = this.#coming.has(piece) || this.#held.has(piece) || memory.has(this, piece);
    return here || kept?.has(begin, end) === true;
  }
}
