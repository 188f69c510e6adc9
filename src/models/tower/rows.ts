// Tensors that grow at their end while a tower is walked.

import type { Tensor, Work } from '../../gpu/index.ts';
import { gatherRows } from '../../kernels/index.ts';

/** Room added beyond what is needed, so that a tensor that grows at every layer is not copied every time. */
const SLACK = 1.25;

/**
 * Adds copies of rows at the end of a contiguous tensor. The tensor given must not be used afterwards.
 *
 * @param sources rows to copy, in order
 */
export function appendRows(w: Work, tensor: Tensor, sources: Uint32Array): Tensor {
  if (sources.length === 0) return tensor;
  const { columns } = tensor;
  const rows = tensor.rows + sources.length;
  const usedBytes = 4 * columns * tensor.rows;
  if (4 * columns * rows <= tensor.buffer.size) {
    // A kernel cannot read and write one buffer under two bindings, so the copies take a detour.
    const copies = gatherRows(w, tensor, sources, w.empty(sources.length, columns, 'new rows'));
    w.copy(copies.buffer, 0, tensor.buffer, usedBytes, 4 * columns * sources.length);
    w.release(copies);
    return { ...tensor, rows };
  }
  const { buffer } = w.empty(Math.ceil(rows * SLACK), columns, 'grown rows');
  const grown: Tensor = { buffer, rows, columns, stride: columns, offset: 0 };
  if (usedBytes > 0) w.copy(tensor.buffer, 0, buffer, 0, usedBytes);
  gatherRows(w, tensor, sources, {
    ...grown,
    rows: sources.length,
    offset: tensor.rows * columns,
  });
  w.release(tensor);
  return grown;
}
