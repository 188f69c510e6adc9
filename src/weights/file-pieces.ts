// How a file is cut into pieces that are asked for and kept one by one.

/** The first piece: most small files are no longer, most safetensors headers neither. */
export const FIRST_BYTES = 64 * 1024;
const PIECE_BYTES = 8 * 1024 * 1024;

/** The piece that holds a byte. */
export function pieceAt(byte: number): number {
  return byte < FIRST_BYTES ? 0 : 1 + Math.floor((byte - FIRST_BYTES) / PIECE_BYTES);
}

/** Pieces of a file of so many bytes; an empty one has one, too. */
export function pieceCount(size: number): number {
  return pieceAt(Math.max(0, size - 1)) + 1;
}

/** Where a piece of a file begins and ends (exclusive). */
export function pieceRange(piece: number, size: number): { readonly begin: number; readonly end: number } {
  const begin = piece === 0 ? 0 : FIRST_BYTES + (piece - 1) * PIECE_BYTES;
  const end = piece === 0 ? FIRST_BYTES : begin + PIECE_BYTES;
  return { begin, end: Math.min(end, size) };
}

/** A piece, whole. */
export interface Piece {
  readonly piece: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/** Puts pieces together from bytes as they come. */
export class PieceFiller {
  /** The next byte that is wanted. */
  at: number;
  readonly #size: number;
  #piece: number;
  #bytes: Uint8Array<ArrayBuffer>;

  /** @param first the piece to begin with */
  constructor(size: number, first: number) {
    const { begin, end } = pieceRange(first, size);
    this.at = begin;
    this.#size = size;
    this.#piece = first;
    this.#bytes = new Uint8Array(end - begin);
  }

  /**
   * Takes what follows from {@link at} on.
   *
   * @param received bytes that begin at `position` in the file; those before `at` are known already
   */
  *fill(received: Uint8Array<ArrayBuffer>, position: number): Generator<Piece> {
    for (let from = Math.max(0, this.at - position); from < received.length; ) {
      const filled = this.at - pieceRange(this.#piece, this.#size).begin;
      const count = Math.min(this.#bytes.length - filled, received.length - from);
      this.#bytes.set(received.subarray(from, from + count), filled);
      from += count;
      this.at += count;
      if (filled + count < this.#bytes.length) return;
      yield { piece: this.#piece++, bytes: this.#bytes };
      const { begin, end } = pieceRange(this.#piece, this.#size);
      this.#bytes = new Uint8Array(Math.max(0, end - begin));
    }
  }
}
