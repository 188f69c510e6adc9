import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { gridOf } from './grid.ts';
import { kernel, reductionFor } from './source.ts';

/**
 * Σ (a − b) · g over the features of each head: the first-order estimate of what a change from b to a does, given the gradient g.
 *
 * @param a contiguous [R, heads · d_head], and so b and g
 * @returns [R, heads]
 */
export function rowDots(w: Work, a: Tensor, b: Tensor, g: Tensor, heads: number): Tensor {
  checkShape(
    [a, b, g].every((x) => isContiguous(x) && x.rows === g.rows && x.columns === g.columns) &&
      g.columns % heads === 0,
    () => `products of ${heads} heads: ${[a, b, g].map(shapeOf).join(', ')}`,
  );
  const reduction = reductionFor(w.capabilities);
  const source = kernel('row_dots', [reduction.by, reduction.WG], () => ({ reduction }));
  const out = w.empty(g.rows, heads, 'products of rows');
  const count = g.rows * heads;
  const { groups, gridX } = gridOf(w, count);
  const params = { count, D: g.columns / heads, gridX };
  w.dispatch(source, { A: a.buffer, B: b.buffer, G: g.buffer, dots: out.buffer }, params, groups);
  return out;
}
