// Steps of a diffusion sampler.

import { checkShape } from '../errors.ts';
import { isContiguous, rowsOf, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, elementGrid } from './grid.ts';
import { kernel } from './source.ts';

const WG = ELEMENT_THREADS;

/**
 * Classifier-free guidance, in place: u + guidance · (c − u).
 *
 * @param predictions contiguous [2 R, C]: u, then c
 * @returns its first R rows, which hold the result
 */
export function guide(w: Work, predictions: Tensor, guidance: number): Tensor {
  checkShape(
    isContiguous(predictions) && predictions.rows % 2 === 0,
    () => `guidance: ${shapeOf(predictions)} are not two predictions`,
  );
  const rows = predictions.rows / 2;
  const count = rows * predictions.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(
    kernel('guide', [], () => ({ constants: { WG } })),
    { E: predictions.buffer },
    { count, threads, guidance },
    groups,
  );
  return rowsOf(predictions, 0, rows);
}

/** a · x + b · other, in place of x. Both contiguous, of one shape, in different buffers. */
export function mix(w: Work, x: Tensor, a: number, other: Tensor, b: number): void {
  checkShape(
    isContiguous(x) && isContiguous(other) && x.rows === other.rows && x.columns === other.columns,
    () => `mixing ${shapeOf(x)} and ${shapeOf(other)}`,
  );
  const count = x.rows * x.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(
    kernel('mix', [], () => ({ constants: { WG } })),
    { E: other.buffer, X: x.buffer },
    { count, threads, a, b },
    groups,
  );
}
