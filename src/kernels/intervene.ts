import { checkShape } from '../errors.ts';
import { type Backward, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { kernel } from './source.ts';

/** What is done to an activation x, given a source s and a factor alpha. */
export type InterveneOp =
  | 'replace' // s
  | 'zero' // 0
  | 'add' // x + alpha · s
  | 'scale' // alpha · x
  | 'interpolate'; // (1 − alpha) · x + alpha · s

const OPS: Readonly<Record<InterveneOp, number>> = { replace: 0, zero: 1, add: 2, scale: 3, interpolate: 4 };

/** One edit: `columns` columns of one row. */
export interface Edit {
  readonly row: number;
  readonly firstColumn: number;
  readonly columns: number;
  /** Row of the source; 0 where the operation has none. */
  readonly source: number;
  readonly alpha: number;
  /** Index of the counter that adds up the elements written. */
  readonly counter: number;
}

/**
 * Edits elements of `x` in place; one dispatch per kind of operation and source.
 *
 * @param x contiguous or a window [R, C]
 * @param source rows that edits read; absent: rows of `x` itself, none of which may be a target of the same call
 * @param sourceColumn column of x to which the source's column 0 belongs
 * @param fired counters (u32); every element written counts one
 */
export function intervene(
  w: Work,
  x: Tensor,
  op: InterveneOp,
  edits: readonly Edit[],
  fired: GPUBuffer,
  source?: Tensor,
  sourceColumn = 0,
): void {
  if (edits.length === 0) return;
  for (const edit of edits) checkEdit(edit, op, x, source ?? x, sourceColumn);
  const readsRows = op !== 'zero' && op !== 'scale';
  if (readsRows) w.tape?.refuse(`"${op}" from another row`, source ?? x);
  w.tape?.changing(x);
  const words = new Uint32Array(8 * edits.length);
  const floats = new Float32Array(words.buffer);
  edits.forEach((edit, i) => {
    words.set([edit.row, edit.firstColumn, edit.columns, edit.source, 0, edit.counter], 8 * i);
    floats[8 * i + 4] = edit.alpha;
  });
  const table = w.uploadWords(words, 'edits');
  const { groups, gridX } = gridOf(w, edits.length);
  w.dispatch(
    kernel('intervene', [op, source && 'external'], () => ({
      constants: { WG: ELEMENT_THREADS, OP: OPS[op], EXTERNAL: !!source },
    })),
    { X: x.buffer, edits: table, fired, Y: source?.buffer },
    {
      count: edits.length,
      gridX,
      xOffset: x.offset,
      xStride: x.stride,
      yOffset: source ? source.offset : x.offset,
      yStride: source ? source.stride : x.stride,
      yColumn: sourceColumn,
    },
    groups,
  );
  w.release(table);
  w.tape?.note({
    operator: `"${op}"`,
    reads: [x],
    writes: [x],
    backward: (b) => interveneBackward(b, x, op, edits),
  });
}

/** What an edit keeps of a value is what its gradient keeps. */
function interveneBackward(b: Backward, x: Tensor, op: InterveneOp, edits: readonly Edit[]): void {
  if (op === 'add') return;
  const kept = edits.map((edit) => ({
    ...edit,
    counter: 0,
    alpha: op === 'scale' ? edit.alpha : 1 - edit.alpha,
  }));
  const counter = b.w.uploadWords(new Uint32Array(1), 'counter of edits');
  intervene(
    b.w,
    b.gradient(x) as Tensor,
    op === 'zero' || op === 'replace' ? 'zero' : 'scale',
    kept,
    counter,
  );
  b.w.release(counter);
}

/** Kernels run without bounds checks, so an edit beside its tensors would read or write foreign memory. */
function checkEdit(
  { row, firstColumn, columns, source: from }: Edit,
  op: InterveneOp,
  x: Tensor,
  source: Tensor,
  sourceColumn: number,
): void {
  const end = firstColumn + columns;
  checkShape(
    row >= 0 && row < x.rows && firstColumn >= 0 && end <= x.columns,
    () => `intervene ${op}: row ${row}, columns ${firstColumn} to ${end} of ${shapeOf(x)}`,
  );
  if (op === 'zero' || op === 'scale') return;
  const first = firstColumn - sourceColumn;
  checkShape(
    from >= 0 && from < source.rows && first >= 0 && first + columns <= source.columns,
    () =>
      `intervene ${op}: row ${from}, columns ${first} to ${first + columns} of the source ${shapeOf(source)}`,
  );
}
