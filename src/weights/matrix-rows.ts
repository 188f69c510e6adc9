// The rows of a matrix that tensors of floats are joined to, some at a time.

import { inFile, type LinearInfo } from './bitsandbytes.ts';
import type { Checkpoint } from './checkpoint.ts';
import { dtypeBytes } from './dtype.ts';
import type { TensorInfo } from './safetensors.ts';

/** The most that is read at once, counted in f32; rows that must stay together may be more. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

export interface FloatRows {
  readonly info: TensorInfo;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The first of them in the matrix. */
  readonly row: number;
}

/** All rows of floats in order, a multiple of `together` at a time unless the tensor ends. */
export async function* floatRows(
  checkpoint: Checkpoint,
  infos: readonly LinearInfo[],
  columns: number,
  together = 1,
): AsyncGenerator<FloatRows> {
  const count = Math.max(1, Math.floor(CHUNK_BYTES / (4 * columns * together))) * together;
  let row = 0;
  for (const info of infos) {
    if (inFile(info)) {
      row += info.shape[0]!;
      continue;
    }
    const rowBytes = columns * dtypeBytes(info.dtype);
    for await (const { bytes } of checkpoint.chunks(info.name, count * rowBytes)) {
      yield { info, bytes, row };
      row += bytes.length / rowBytes;
    }
  }
}
