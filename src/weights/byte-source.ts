// Random access to the bytes of one file, wherever it lies. Readers of weights know nothing else of files.

import { WeightsError } from './errors.ts';

export interface ByteSource {
  /** For messages: path, URL or file name. */
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /**
   * Bytes `offset` to `offset + length`, in an array of their own that begins at byte 0 of its buffer, so that it
   * can be viewed as any element type.
   *
   * @throws RangeError outside the file, WeightsError if reading fails
   */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** A file whose bytes are at hand. */
export function memorySource(bytes: Uint8Array, name: string): ByteSource {
  return {
    name,
    size: bytes.byteLength,
    async read(offset, length) {
      checkRange(this, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    async close() {},
  };
}

/** A `Blob` or `File`, as a browser's file picker gives it. */
export function blobSource(blob: Blob, name: string): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange(this, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new WeightsError(`${name}: bytes ${offset} to ${offset + length} cannot be read.`, { cause });
      }
    },
    async close() {},
  };
}

/** Throws RangeError unless the bytes lie in the file: a defect of the caller. */
export function checkRange(source: Pick<ByteSource, 'name' | 'size'>, offset: number, length: number): void {
  const end = offset + length;
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(end) && offset >= 0 && length >= 0))
    throw new RangeError(`${source.name}: not a range of bytes: ${length} from ${offset}`);
  if (end > source.size)
    throw new RangeError(`${source.name}: bytes ${offset} to ${end} of a file with ${source.size} bytes`);
}
