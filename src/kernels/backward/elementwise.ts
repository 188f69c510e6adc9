// Gradients of activations and norms.

import type { Share, Tensor, Work } from '../../gpu/index.ts';
import type { NormWeights } from '../elementwise.ts';
import { ELEMENT_THREADS, elementGrid, gridOf } from '../grid.ts';
import { type Activation, kernel, reductionFor, type Scaling, traitOf } from '../source.ts';

/**
 * Of act(x), or act(x) · gate.
 *
 * @param y gradient of the result
 * @param dx where that of x goes, dGate that of the gate; undefined: nobody asks
 */
export function activateBackward(
  w: Work,
  x: Tensor,
  activation: Activation | Scaling,
  gate: Tensor | undefined,
  y: Tensor,
  dx: Share | undefined,
  dGate: Share | undefined,
): void {
  if (!dx && !dGate) return;
  const traits = [
    traitOf(activation),
    gate && 'gated',
    dx && 'x',
    dGate && 'g',
    dx?.accumulate && 'adds x',
    dGate?.accumulate && 'adds g',
  ];
  const source = kernel('activation_backward', traits, () => ({
    constants: {
      WG: ELEMENT_THREADS,
      HAS_GATE: !!gate,
      HAS_X: !!dx,
      HAS_G: !!dGate,
      BEFORE_G: Number(!!gate) + Number(!!dx),
      ADD_X: !!dx?.accumulate,
      ADD_G: !!dGate?.accumulate,
    },
    activation,
    slope: activation,
  }));
  const count = x.rows * x.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(
    source,
    { X: x.buffer, dY: y.buffer, G: gate?.buffer, dX: dx?.tensor.buffer, dG: dGate?.tensor.buffer },
    { count, threads },
    groups,
  );
}

/** Of a LayerNorm or RMSNorm of x: the share of the result's gradient y in that of x. All contiguous [R, C]. */
export function normalizeBackward(
  w: Work,
  x: Tensor,
  { scale, shift, eps }: NormWeights,
  y: Tensor,
  { tensor, accumulate }: Share,
): void {
  const reduction = reductionFor(w.capabilities);
  const traits = [!shift && 'rms', accumulate && 'adds', reduction.by, reduction.WG];
  const source = kernel('norm_backward', traits, () => ({
    constants: { HAS_SHIFT: !!shift, ACCUMULATE: accumulate },
    reduction,
  }));
  const { groups, gridX } = gridOf(w, x.rows);
  w.dispatch(
    source,
    { X: x.buffer, scale: scale.buffer, dY: y.buffer, dX: tensor.buffer },
    { R: x.rows, C: x.columns, gridX, eps },
    groups,
  );
}

/**
 * Of an RMSNorm of every head: from the gradient of the result to that of x, in place.
 *
 * @param x what was normalised, contiguous [R, heads · d_head]
 * @param gradient [R, heads · d_head]; may be a window of columns
 */
export function normalizeHeadsBackward(
  w: Work,
  x: Tensor,
  heads: number,
  { scale, eps }: NormWeights,
  gradient: Tensor,
): void {
  const reduction = reductionFor(w.capabilities);
  const source = kernel('norm_heads_backward', [reduction.by, reduction.WG], () => ({ reduction }));
  const count = x.rows * heads;
  const { groups, gridX } = gridOf(w, count);
  const { offset, stride } = gradient;
  w.dispatch(
    source,
    { X: x.buffer, scale: scale.buffer, G: gradient.buffer },
    { count, H: heads, D: scale.length, offset, stride, gridX, eps },
    groups,
  );
}
