// Tensors on their way to the host: copied together into one buffer, which is mapped once and taken apart.

import { isContiguous, type Tensor } from './tensor.ts';

const USAGE = 0x01 | 0x08; // GPUBufferUsage.MAP_READ | COPY_DST
const MAP_READ = 1;
/** The size of a buffer that is kept for the next read: most ask for a few numbers, or for the logits of a batch. */
const KEPT_BYTES = 2 ** 20;

/** Where a tensor's values, with what lies between them, are in the mapped buffer. Bytes. */
interface Span {
  readonly tensor: Tensor;
  readonly start: number;
  readonly bytes: number;
}

/** Buffers that the host can map. */
export class StagingBuffers {
  #spare: GPUBuffer | undefined;

  /** A buffer of at least `bytes` bytes, not mapped. */
  take(bytes: number, create: (size: number, usage: number, label: string) => GPUBuffer): GPUBuffer {
    const spare = this.#spare;
    if (!spare || bytes > KEPT_BYTES) return create(Math.max(bytes, KEPT_BYTES), USAGE, 'readback');
    this.#spare = undefined;
    return spare;
  }

  /** Takes a mapped buffer back. */
  give(buffer: GPUBuffer): void {
    if (this.#spare || buffer.size > KEPT_BYTES) {
      buffer.destroy();
      return;
    }
    buffer.unmap();
    this.#spare = buffer;
  }
}

/** One read of several tensors. */
export class Readback {
  readonly #spans: readonly Span[];
  /** Bytes of all spans. */
  readonly bytes: number;

  constructor(tensors: readonly Tensor[]) {
    let bytes = 0;
    this.#spans = tensors.map((tensor) => {
      const span = { tensor, start: bytes, bytes: extent(tensor) };
      bytes += span.bytes;
      return span;
    });
    this.bytes = bytes;
  }

  /** Copies all tensors into `staging`. */
  record(
    copy: (source: GPUBuffer, from: number, target: GPUBuffer, to: number, bytes: number) => void,
    staging: GPUBuffer,
  ): void {
    for (const { tensor, start, bytes } of this.#spans)
      if (bytes > 0) copy(tensor.buffer, 4 * tensor.offset, staging, start, bytes);
  }

  /** Waits until `staging` holds the values. */
  map(staging: GPUBuffer): Promise<undefined> {
    return staging.mapAsync(MAP_READ, 0, this.bytes);
  }

  /** For each tensor its values row by row, without gaps; without `staging` there are none. */
  values(staging: GPUBuffer | undefined): Float32Array<ArrayBuffer>[] {
    const mapped = staging?.getMappedRange(0, this.bytes) ?? new ArrayBuffer(0);
    return this.#spans.map(({ tensor, start, bytes }) => {
      const window = new Float32Array(mapped, start, bytes / 4);
      return isContiguous({ ...tensor, offset: 0 }) ? window.slice() : gatherRows(window, tensor);
    });
  }
}

/** Bytes from a tensor's first to its last element. */
function extent({ rows, columns, stride }: Tensor): number {
  return rows === 0 || columns === 0 ? 0 : 4 * ((rows - 1) * stride + columns);
}

function gatherRows(window: Float32Array, { rows, columns, stride }: Tensor): Float32Array<ArrayBuffer> {
  const values = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++)
    values.set(window.subarray(row * stride, row * stride + columns), row * columns);
  return values;
}
