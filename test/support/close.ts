// How tests compare numbers: one tolerance rule, one message that says where and by how much.

/** An element passes if |actual − expected| ≤ atol + rtol · |expected| + ofMax · max |expected|. */
export interface Tolerance {
  /** Absolute; an array gives each element its own. */
  readonly atol?: number | ArrayLike<number>;
  /** Relative to the element. */
  readonly rtol?: number;
  /** Relative to the largest finite magnitude in `expected`. */
  readonly ofMax?: number;
  /** Lengths of the dimensions, so that a failure is reported as [2, 0, 17] rather than as a flat index. */
  readonly shape?: readonly number[];
  /** What is compared, for the message. */
  readonly name?: string;
}

/**
 * Fails unless `actual` has the length of `expected` and every element is within the tolerance. NaN equals NaN only,
 * an infinity only itself. The message gives the first and the worst element that are off, and how many there are.
 * Nothing to compare is a failure too.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
): void {
  const { atol = 0, rtol = 0, ofMax = 0 } = tolerance;
  checkLengths(actual, expected, tolerance, expectClose);
  const common = ofMax === 0 ? 0 : ofMax * largestMagnitude(expected);
  const allowed = (i: number) =>
    Number.isFinite(expected[i])
      ? (typeof atol === 'number' ? atol : atol[i]!) + rtol * Math.abs(expected[i]!) + common
      : 0;
  let failures = 0;
  let first = 0;
  let worst = 0;
  let worstRatio = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = errorOf(actual[i]!, expected[i]!);
    const limit = allowed(i);
    if (error <= limit) continue;
    if (failures++ === 0) first = i;
    const ratio = error / limit;
    if (!(ratio <= worstRatio)) {
      worst = i;
      worstRatio = ratio;
    }
  }
  if (failures === 0) return;
  const describe = (i: number) =>
    `at ${place(i, tolerance)}: ${actual[i]}, expected ${expected[i]}, error ${errorOf(actual[i]!, expected[i]!).toExponential(3)}, allowed ${allowed(i).toExponential(3)}`;
  fail(
    tolerance,
    `${failures} of ${expected.length} values are off\n  first ${describe(first)}\n  worst ${describe(worst)}`,
    expectClose,
  );
}

/** Fails unless both hold the same f32 values bit for bit (so 0 differs from −0). */
export function expectSameBits(
  actual: Float32Array,
  expected: Float32Array,
  context: Pick<Tolerance, 'name' | 'shape'> = {},
): void {
  checkLengths(actual, expected, context, expectSameBits);
  const ours = new Uint32Array(actual.buffer, actual.byteOffset, actual.length);
  const theirs = new Uint32Array(expected.buffer, expected.byteOffset, expected.length);
  const first = ours.findIndex((bits, i) => bits !== theirs[i]);
  if (first < 0) return;
  const differing = ours.reduce((count, bits, i) => count + Number(bits !== theirs[i]), 0);
  const hex = (bits: number | undefined) => `0x${bits?.toString(16).padStart(8, '0')}`;
  fail(
    context,
    `${differing} of ${ours.length} values differ, first at ${place(first, context)}: ` +
      `${actual[first]} (${hex(ours[first])}), expected ${expected[first]} (${hex(theirs[first])})`,
    expectSameBits,
  );
}

/** Infinite where one is not finite and they are not the same. */
function errorOf(actual: number, expected: number): number {
  if (actual === expected || (Number.isNaN(actual) && Number.isNaN(expected))) return 0;
  const error = Math.abs(actual - expected);
  return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
}

function largestMagnitude(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (magnitude > largest && Number.isFinite(magnitude)) largest = magnitude;
  }
  return largest;
}

function checkLengths(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  context: Tolerance,
  caller: (...args: never[]) => void,
): void {
  const size = context.shape?.reduce((product, length) => product * length, 1);
  if (size !== undefined && size !== expected.length)
    fail(context, `shape [${context.shape}] does not hold ${expected.length} values`, caller);
  if (actual.length !== expected.length)
    fail(context, `${actual.length} values, expected ${expected.length}`, caller);
  if (expected.length === 0) fail(context, 'there is nothing to compare', caller);
}

function place(index: number, { shape }: Pick<Tolerance, 'shape'>): string {
  if (!shape) return `[${index}]`;
  const at = shape.map((length, axis) => {
    const below = shape.slice(axis + 1).reduce((product, size) => product * size, 1);
    return Math.floor(index / below) % length;
  });
  return `[${at.join(', ')}]`;
}

/** Fails the test at the line that called `caller`. */
function fail({ name }: Pick<Tolerance, 'name'>, message: string, caller: (...args: never[]) => void): never {
  const error = new Error(name ? `${name}: ${message}` : message);
  error.name = 'AssertionError';
  Error.captureStackTrace?.(error, caller);
  throw error;
}
