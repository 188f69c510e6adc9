// Gradients of what is copied, added up or only passed on.

import { checkShape } from '../../errors.ts';
import { type Backward, isContiguous, shapeOf, type Tensor, type Work } from '../../gpu/index.ts';
import { ELEMENT_THREADS, elementGrid, gridOf } from '../grid.ts';
import { kernel } from '../source.ts';

const WG = ELEMENT_THREADS;

/** What a row of a result took of a row of its operand. */
export interface RowShare {
  /** Row of the operand. */
  readonly of: number;
  /** Row of the result. */
  readonly in: number;
  readonly share: number;
}

/** Adds the gradient of a result, each of whose rows is a sum of shares of an operand's rows, to that of the operand. */
export function sharesBackward(
  b: Backward,
  result: Tensor,
  operand: Tensor,
  shares: readonly RowShare[],
): void {
  const from = b.gradient(result);
  const into = from && b.into(operand);
  if (!into) return;
  if (!into.accumulate) clear(b.w, into.tensor);
  addShares(b.w, into.tensor, from, shares);
}

/**
 * The gradient of a result goes to an operand as it is: of a sum to its summands. Both have as many values.
 *
 * @param how `copy`: the result's is needed once more
 */
export function passBackward(b: Backward, result: Tensor, operand: Tensor, how?: 'copy'): void {
  if (!how && b.move(result, operand)) return;
  const from = b.gradient(result);
  const into = from && b.into(operand);
  if (!into) return;
  const { tensor } = into;
  if (
    isContiguous(from) &&
    isContiguous(tensor) &&
    from.rows * from.columns === tensor.rows * tensor.columns
  ) {
    if (into.accumulate) addTo(b.w, tensor, from);
    else b.w.copy(from.buffer, 0, tensor.buffer, 0, 4 * from.rows * from.columns);
    return;
  }
  if (!into.accumulate) clear(b.w, tensor);
  const rows = Array.from({ length: from.rows }, (_, row) => ({ of: row, in: row, share: 1 }));
  addShares(b.w, tensor, from, rows);
}

/** x += y, both contiguous with as many values. */
export function addTo(w: Work, x: Tensor, y: Tensor): void {
  const source = kernel('add_to', [], () => ({ constants: { WG } }));
  const count = x.rows * x.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(source, { X: x.buffer, Y: y.buffer }, { count, threads }, groups);
}

function clear(w: Work, { buffer, rows, columns }: Tensor): void {
  w.clear(buffer, 0, 4 * rows * columns);
}

/** x[of] += share · y[in] for every share, those of a row in their order. */
function addShares(w: Work, x: Tensor, y: Tensor, shares: readonly RowShare[]): void {
  checkShape(x.columns === y.columns, () => `adding shares of rows of ${shapeOf(y)} to ${shapeOf(x)}`);
  const byRow = new Map<number, RowShare[]>();
  for (const share of shares) {
    const own = byRow.get(share.of);
    if (own) own.push(share);
    else byRow.set(share.of, [share]);
  }
  if (byRow.size === 0) return;
  const targets = new Uint32Array(3 * byRow.size);
  const words = new Uint32Array(2 * shares.length);
  const floats = new Float32Array(words.buffer);
  let [target, at] = [0, 0];
  for (const [row, own] of byRow) {
    targets.set([row, at, own.length], 3 * target++);
    for (const { in: from, share } of own) {
      words[2 * at] = from;
      floats[2 * at + 1] = share;
      at++;
    }
  }
  const source = kernel('add_shares', [], () => ({ constants: { WG } }));
  const tables = [
    w.uploadWords(targets, 'rows with shares'),
    w.uploadWords(words, 'shares of rows'),
  ] as const;
  const { groups, gridX } = gridOf(w, byRow.size);
  w.dispatch(
    source,
    { X: x.buffer, Y: y.buffer, targets: tables[0], shares: tables[1] },
    {
      T: byRow.size,
      C: x.columns,
      xOffset: x.offset,
      xStride: x.stride,
      yOffset: y.offset,
      yStride: y.stride,
      gridX,
    },
    groups,
  );
  w.release(...tables);
}
