// What each head alone adds to the residual stream: z · W_O, head by head (TransformerLens' attn.hook_result).

import { rowsOf, type Tensor, type Work } from '../../gpu/index.ts';
import { type LinearWeight, matmul, spreadHeads } from '../../kernels/index.ts';

/** The spread heads of a block of rows take at most this many bytes. */
const SCRATCH_BYTES = 64 * 1024 * 1024;

/**
 * Head by head through the output projection, without its bias: with it the heads add up to the attention's output. It costs
 * as many output projections as there are heads, of any type of weight.
 *
 * @param z [R, heads · d_head]
 * @param weight [width, heads · d_head]
 * @returns [R, heads · width]
 */
export function headResults(w: Work, z: Tensor, heads: number, weight: LinearWeight): Tensor {
  const results = w.empty(z.rows, heads * weight.rows, 'results of heads');
  const byHead = { ...results, rows: z.rows * heads, columns: weight.rows, stride: weight.rows };
  const count = Math.max(1, Math.floor(SCRATCH_BYTES / (4 * heads * z.columns)));
  for (let first = 0; first < z.rows; first += count) {
    const rows = Math.min(count, z.rows - first);
    const spread = spreadHeads(w, rowsOf(z, first, rows), heads);
    matmul(w, spread, weight, { out: rowsOf(byHead, first * heads, rows * heads) });
    w.release(spread);
  }
  return results;
}
