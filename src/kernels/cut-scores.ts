// Edges of attention that are taken out, and what becomes of positions that have none left.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { kernel, reductionFor } from './source.ts';

/** Heads next to each other and keys next to each other, of one entry. */
export interface ScoreCut {
  /** Row of the scores. */
  readonly entry: number;
  readonly firstHead: number;
  readonly heads: number;
  /** First of the columns of a head. */
  readonly firstColumn: number;
  readonly columns: number;
  /** Index of the counter that adds up the elements written. */
  readonly counter: number;
}

/**
 * Masks edges: their scores become −infinity, in place.
 *
 * @param scores [entries, heads · pitch], from `attentionScores`
 * @param fired counters (u32); every element written counts one
 * @throws ShapeError for a cut outside of the scores
 */
export function cutScores(
  w: Work,
  scores: Tensor,
  heads: number,
  cuts: readonly ScoreCut[],
  fired: GPUBuffer,
): void {
  if (cuts.length === 0) return;
  const pitch = scores.columns / heads;
  for (const cut of cuts)
    checkShape(
      cut.entry < scores.rows && cut.firstHead + cut.heads <= heads && cut.firstColumn + cut.columns <= pitch,
      () => `cutting scores ${shapeOf(scores)} of ${heads} heads: ${JSON.stringify(cut)}`,
    );
  const words = Uint32Array.from(
    cuts.flatMap((cut) => [cut.entry, cut.firstHead, cut.heads, cut.firstColumn, cut.columns, cut.counter]),
  );
  const edits = w.uploadWords(words, 'cuts');
  const { groups, gridX } = gridOf(w, cuts.length);
  w.tape?.changing(scores);
  w.dispatch(
    kernel('cut_scores', [], () => ({ constants: { WG: ELEMENT_THREADS } })),
    { S: scores.buffer, edits, fired },
    { count: cuts.length, gridX, H: heads, pitch },
    groups,
  );
  w.release(edits);
  // A masked key has pattern 0, so its score has no gradient already.
  w.tape?.note({ operator: 'cut', reads: [scores], writes: [scores], backward: () => {} });
}

/**
 * Of some rows those that attend to nothing get nothing: where z is all 0, y becomes 0, in place.
 *
 * @param z contiguous [R, heads · d_head]
 * @param y contiguous [R, width]
 */
export function silenceRows(w: Work, z: Tensor, y: Tensor, rows: readonly number[]): void {
  if (rows.length === 0) return;
  w.tape?.refuse('silence of rows without an edge', z, y);
  const beyond = rows.find((row) => row >= z.rows);
  checkShape(
    isContiguous(z) && isContiguous(y) && z.rows === y.rows && beyond === undefined,
    () => `silencing rows of ${shapeOf(y)} by ${shapeOf(z)}${beyond === undefined ? '' : `: row ${beyond}`}`,
  );
  const reduction = reductionFor(w.capabilities);
  const table = w.uploadWords(Uint32Array.from(rows), 'rows to silence');
  const { groups, gridX } = gridOf(w, rows.length);
  w.dispatch(
    kernel('silence_rows', [reduction.by, reduction.WG], () => ({ reduction })),
    { Z: z.buffer, rows: table, Y: y.buffer },
    { N: rows.length, D: z.columns, C: y.columns, gridX },
    groups,
  );
  w.release(table);
}
