// What the references compute with: rows of numbers, whatever they are stored in; every result is f64.

/** Rows of equal length. `x[r][c]` is row r, column c. */
export type Matrix = readonly ArrayLike<number>[];

/** A flat tensor as rows of `columns` values, without a copy. */
export function toRows(values: Float32Array, columns: number): Float32Array[] {
  return Array.from({ length: values.length / columns }, (_, r) =>
    values.subarray(r * columns, (r + 1) * columns),
  );
}

/** The rows one after another. */
export function flatten(x: Matrix): Float64Array {
  const columns = x[0]?.length ?? 0;
  const flat = new Float64Array(x.length * columns);
  x.forEach((row, r) => {
    flat.set(row, r * columns);
  });
  return flat;
}

export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

export function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i]!;
  return total;
}

export function mean(values: ArrayLike<number>): number {
  return sum(values) / values.length;
}

/** Euclidean length. */
export function norm(values: ArrayLike<number>): number {
  return Math.sqrt(dot(values, values));
}
