// Kernels that are not linear, held at a point: what they make of small changes there, or of the parts of that point.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { activateBackward } from './backward/elementwise.ts';
import type { NormWeights } from './elementwise.ts';
import { gridOf } from './grid.ts';
import { type Activation, kernel, reductionFor } from './source.ts';

/**
 * gradient · act′(x): what comes back through an activation. Shapes equal and contiguous.
 *
 * @param x the activation's input
 */
export function activationBackward(w: Work, x: Tensor, activation: Activation, gradient: Tensor): Tensor {
  checkShape(
    isContiguous(x) && isContiguous(gradient) && x.rows === gradient.rows && x.columns === gradient.columns,
    () => `activation backward: ${shapeOf(gradient)} at ${shapeOf(x)}, both must be contiguous and equal`,
  );
  const out = w.empty(x.rows, x.columns, 'activation backward');
  activateBackward(w, x, activation, undefined, gradient, { tensor: out, accumulate: false }, undefined);
  return out;
}

/**
 * Rows through a norm whose scale is held at what it is for another row, in place, and without its shift: a linear map, so that
 * parts of that row add up to the row normalised, but for the shift.
 *
 * @param x contiguous [*, C]; rows `first` to `first + count` are changed
 * @param at [1, C] the row that decides the scale
 */
export function normalizeFrozen(
  w: Work,
  x: Tensor,
  { first, count }: { readonly first: number; readonly count: number },
  at: Tensor,
  { scale, shift, eps }: NormWeights,
): void {
  checkShape(
    isContiguous(x) && at.rows === 1 && at.columns === x.columns && scale.length === x.columns,
    () => `frozen norm: ${shapeOf(x)} at ${shapeOf(at)}, ${scale.name} has ${scale.length} values`,
  );
  checkShape(
    first >= 0 && first + count <= x.rows,
    () => `frozen norm: rows ${first} to ${first + count} of ${shapeOf(x)}`,
  );
  if (count === 0) return;
  const reduction = reductionFor(w.capabilities);
  const source = kernel('frozen_norm', [!shift && 'rms', reduction.by, reduction.WG], () => ({
    constants: { HAS_MEAN: !!shift },
    reduction,
  }));
  const { groups, gridX } = gridOf(w, count);
  w.dispatch(
    source,
    { X: x.buffer, S: at.buffer, scale: scale.buffer },
    { R: count, C: x.columns, first, sOffset: at.offset, gridX, eps },
    groups,
  );
}
