import type { Edit, InterveneOp } from '../../src/kernels/index.ts';
import { type Matrix, mean } from './matrix.ts';

export function gatherRows(x: Matrix, index: readonly number[]): Matrix {
  return index.map((r) => x[r]!);
}

/** x[to] + source[from] for pairs (to, from); the other rows of x as they are. */
export function addRows(x: Matrix, source: Matrix, pairs: readonly (readonly [number, number])[]): Matrix {
  const from = new Map(pairs);
  return x.map((row, r) => {
    const added = source[from.get(r) ?? -1];
    return added ? Array.from(row, (value, c) => value + added[c]!) : row;
  });
}

/** The mean of each group of rows. */
export function meanRows(x: Matrix, groups: readonly (readonly number[])[]): Matrix {
  return groups.map((rows) => Array.from(x[rows[0]!]!, (_, c) => mean(rows.map((r) => x[r]![c]!))));
}

const OPERATIONS: Readonly<Record<InterveneOp, (x: number, s: number, alpha: number) => number>> = {
  replace: (_, s) => s,
  zero: () => 0,
  add: (x, s, alpha) => x + alpha * s,
  scale: (x, _, alpha) => alpha * x,
  interpolate: (x, s, alpha) => (1 - alpha) * x + alpha * s,
};

/** Applies the edits; sources are the rows before any edit. Column c of x belongs to column c − sourceColumn of the source. */
export function intervene(
  x: Matrix,
  op: InterveneOp,
  edits: readonly Edit[],
  source: Matrix = x,
  sourceColumn = 0,
): Matrix {
  const edited = x.map((row) => Array.from(row));
  for (const { row, firstColumn, columns, source: from, alpha } of edits)
    for (let c = firstColumn; c < firstColumn + columns; c++)
      edited[row]![c] = OPERATIONS[op](x[row]![c]!, source[from]![c - sourceColumn]!, Math.fround(alpha));
  return edited;
}
