// Pieces of remote files that memory holds: those used last, up to a number of bytes.

/** Weights are read in the order of the model, not of the file, so a piece may be read from again a little later. */
const MOST_BYTES = 256 * 1024 * 1024;

export class PieceMemory {
  readonly #pieces = new Map<string, Uint8Array<ArrayBuffer>>();
  readonly #files = new WeakMap<object, number>();
  readonly #mostBytes: number;
  #bytes = 0;
  #fileCount = 0;

  constructor(mostBytes = MOST_BYTES) {
    this.#mostBytes = mostBytes;
  }

  has(file: object, piece: number): boolean {
    return this.#pieces.has(this.#key(file, piece));
  }

  get(file: object, piece: number): Uint8Array<ArrayBuffer> | undefined {
    const key = this.#key(file, piece);
    const bytes = this.#pieces.get(key);
    if (!bytes) return undefined;
    this.#pieces.delete(key);
    this.#pieces.set(key, bytes); // the last used is the last of the map
    return bytes;
  }

  set(file: object, piece: number, bytes: Uint8Array<ArrayBuffer>): void {
    const key = this.#key(file, piece);
    this.#bytes += bytes.length - (this.#pieces.get(key)?.length ?? 0);
    this.#pieces.delete(key);
    this.#pieces.set(key, bytes);
    for (const [oldest, { length }] of this.#pieces) {
      if (this.#bytes <= this.#mostBytes || oldest === key) break;
      this.#pieces.delete(oldest);
      this.#bytes -= length;
    }
  }

  #key(file: object, piece: number): string {
    const known = this.#files.get(file) ?? this.#fileCount++;
    this.#files.set(file, known);
    return `${known}/${piece}`;
  }
}
