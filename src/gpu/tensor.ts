import { checkShape } from '../errors.ts';

/**
 * A matrix of f32 values in a GPU buffer: `rows` rows of `columns` values. Row r begins at element
 * `offset + r * stride`, so a tensor can be a window of columns in a wider one (the query part of a fused
 * query-key-value product, for example).
 */
export interface Tensor {
  readonly buffer: GPUBuffer;
  readonly rows: number;
  readonly columns: number;
  /** Elements from one row's start to the next. */
  readonly stride: number;
  /** Elements before row 0. */
  readonly offset: number;
}

/** True if rows follow each other without gaps from the buffer's start: what most kernels expect. */
export function isContiguous(tensor: Tensor): boolean {
  return tensor.offset === 0 && tensor.stride === tensor.columns;
}

/** A window of `count` columns from column `first`; shares the buffer. */
export function columnsOf(tensor: Tensor, first: number, count: number): Tensor {
  checkShape(
    first >= 0 && first + count <= tensor.columns,
    () => `columns ${first} to ${first + count} of a tensor with ${tensor.columns} columns`,
  );
  return { ...tensor, columns: count, offset: tensor.offset + first };
}

/** A window of `count` rows from row `first`; shares the buffer. */
export function rowsOf(tensor: Tensor, first: number, count: number): Tensor {
  checkShape(
    first >= 0 && first + count <= tensor.rows,
    () => `rows ${first} to ${first + count} of a tensor with ${tensor.rows} rows`,
  );
  return { ...tensor, rows: count, offset: tensor.offset + first * tensor.stride };
}

/** `[rows, columns]`, for messages. */
export function shapeOf(tensor: Tensor): string {
  return `[${tensor.rows}, ${tensor.columns}]`;
}
