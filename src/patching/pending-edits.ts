// Edits of one hook point on their way to the GPU: as few dispatches as give what edits one after the other would.

import type { Tensor, Work } from '../gpu/index.ts';
import { type Edit, gatherRows, type InterveneOp, intervene } from '../kernels/index.ts';

/** An edit with the tensor that it reads; absent: the activation itself. */
export interface SourcedEdit extends Edit {
  readonly tensor: Tensor | undefined;
  /** Column of the activation to which the tensor's column 0 belongs. */
  readonly column: number;
}

/** Edits of one dispatch. The GPU makes them in any order, so none may touch what another one reads or writes. */
interface Dispatch {
  readonly op: InterveneOp;
  readonly tensor: Tensor | undefined;
  readonly column: number;
  readonly edits: Edit[];
  /** Edits by the row that they write. */
  readonly written: Map<number, Edit[]>;
  /** Rows of the activation that are read. */
  readonly read: Set<number>;
}

export class PendingEdits {
  readonly #w: Work;
  readonly #target: Tensor;
  readonly #counters: GPUBuffer;
  #open: Dispatch | undefined;

  constructor(w: Work, target: Tensor, counters: GPUBuffer) {
    this.#w = w;
    this.#target = target;
    this.#counters = counters;
  }

  /** Adds one intervention's edits, which happen at once and after all that were added before. */
  add(op: InterveneOp, edits: readonly SourcedEdit[]): void {
    const reads = op !== 'zero' && op !== 'scale';
    const targets = new Set(edits.map(({ row }) => row));
    const moved = reads && edits.some(({ tensor, source }) => !tensor && targets.has(source));
    // By tensor and column, so that each becomes one dispatch.
    const groups = new Map<Tensor | undefined, Map<number, SourcedEdit[]>>();
    for (const edit of moved ? this.#detached(edits) : edits) {
      const columns = groups.get(edit.tensor) ?? new Map<number, SourcedEdit[]>();
      groups.set(edit.tensor, columns);
      const group = columns.get(edit.column);
      if (group) group.push(edit);
      else columns.set(edit.column, [edit]);
    }
    for (const [tensor, columns] of groups)
      for (const [column, group] of columns) this.#addGroup(op, tensor, column, group, reads && !tensor);
  }

  /** Records what is open. */
  flush(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open) intervene(this.#w, this.#target, open.op, open.edits, this.#counters, open.tensor, open.column);
  }

  #addGroup(
    op: InterveneOp,
    tensor: Tensor | undefined,
    column: number,
    edits: readonly SourcedEdit[],
    readsTarget: boolean,
  ): void {
    const open = this.#open;
    const joins =
      open?.op === op &&
      open.tensor === tensor &&
      open.column === column &&
      edits.every(
        (edit) =>
          !open.read.has(edit.row) &&
          !(readsTarget && open.written.has(edit.source)) &&
          !open.written.get(edit.row)?.some((other) => overlap(edit, other)),
      );
    if (!joins) this.flush();
    const dispatch: Dispatch = joins
      ? open
      : { op, tensor, column, edits: [], written: new Map(), read: new Set() };
    for (const edit of edits) {
      dispatch.edits.push(edit);
      const others = dispatch.written.get(edit.row);
      if (others) others.push(edit);
      else dispatch.written.set(edit.row, [edit]);
      if (readsTarget) dispatch.read.add(edit.source);
    }
    this.#open = dispatch;
  }

  /** The same edits from a copy of the rows that they read. */
  #detached(edits: readonly SourcedEdit[]): SourcedEdit[] {
    this.flush();
    const rows = [...new Set(edits.map(({ source }) => source))];
    const place = new Map(rows.map((row, i) => [row, i]));
    const tensor = gatherRows(
      this.#w,
      this.#target,
      Uint32Array.from(rows),
      this.#w.empty(rows.length, this.#target.columns, 'sources of edits'),
    );
    return edits.map((edit) => ({ ...edit, tensor, source: place.get(edit.source) as number }));
  }
}

function overlap(a: Edit, b: Edit): boolean {
  return a.firstColumn < b.firstColumn + b.columns && b.firstColumn < a.firstColumn + a.columns;
}
