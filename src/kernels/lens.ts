// What is read out of rows of logits, and of the rows of a residual stream that they are made of.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { gridOf } from './grid.ts';
import { kernel, reductionFor } from './source.ts';

/** Ids and counts go through f32, which has every whole number below this. */
const MAX_VOCABULARY = 2 ** 24;

/**
 * The k largest logits of every row, largest first, of equal ones the token that comes first.
 *
 * @param logits contiguous [R, V]
 * @returns words [R, 2 k]: token id, bits of its logit
 * @throws ShapeError unless 1 ≤ k ≤ V < 2²⁴
 */
export function topLogits(w: Work, logits: Tensor, k: number): Tensor {
  checkLogits('top logits', logits);
  checkShape(k >= 1 && k <= logits.columns, () => `top logits: ${k} of a vocabulary of ${logits.columns}`);
  const reduction = reductionFor(w.capabilities);
  const source = kernel('top_logits', [reduction.by, reduction.WG], () => ({ reduction }));
  const out = w.empty(logits.rows, 2 * k, 'top logits');
  const { groups, gridX } = gridOf(w, logits.rows);
  const params = { R: logits.rows, V: logits.columns, K: k, gridX };
  w.dispatch(source, { L: logits.buffer, result: out.buffer }, params, groups);
  return out;
}

/**
 * How many tokens come before some tokens in every row: those of a larger logit, and of an equal one with a smaller id.
 *
 * @param logits contiguous [R, V]
 * @param ids at least one
 * @returns words [R, ids.length]
 * @throws ShapeError if an id is not below V, or V not below 2²⁴
 */
export function tokenRanks(w: Work, logits: Tensor, ids: readonly number[]): Tensor {
  checkLogits('ranks', logits);
  const beyond = ids.find((id) => !(id >= 0 && id < logits.columns));
  checkShape(beyond === undefined, () => `token id ${beyond} is outside the vocabulary of ${logits.columns}`);
  const reduction = reductionFor(w.capabilities);
  const source = kernel('token_ranks', [reduction.by, reduction.WG], () => ({ reduction }));
  const out = w.empty(logits.rows, ids.length, 'ranks');
  const table = w.uploadWords(Uint32Array.from(ids), 'tokens');
  const { groups, gridX } = gridOf(w, logits.rows);
  const params = { R: logits.rows, V: logits.columns, T: ids.length, gridX };
  w.dispatch(source, { L: logits.buffer, ids: table, result: out.buffer }, params, groups);
  w.release(table);
  return out;
}

/** The Euclidean norm of every row of x, contiguous [R, C]: [R, 1]. */
export function rowNorms(w: Work, x: Tensor): Tensor {
  checkShape(isContiguous(x), () => `norms of rows: ${shapeOf(x)} must be contiguous`);
  const reduction = reductionFor(w.capabilities);
  const source = kernel('row_norms', [reduction.by, reduction.WG], () => ({ reduction }));
  const out = w.empty(x.rows, 1, 'norms of rows');
  const { groups, gridX } = gridOf(w, x.rows);
  w.dispatch(source, { X: x.buffer, result: out.buffer }, { R: x.rows, C: x.columns, gridX }, groups);
  return out;
}

function checkLogits(what: string, logits: Tensor): void {
  checkShape(
    isContiguous(logits) && logits.columns < MAX_VOCABULARY,
    () => `${what}: logits ${shapeOf(logits)} must be contiguous, of less than ${MAX_VOCABULARY} tokens`,
  );
}
