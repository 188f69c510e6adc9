// How weights lie in GPU memory, and how much they take: known before anything is loaded.

import { OutOfMemoryError } from '../gpu/index.ts';
import {
  blockRows,
  CODES_PER_WORD,
  ELEMENT_BYTES,
  type ElementType,
  type QuantizedType,
  scaleCount,
} from '../kernels/index.ts';
import { WeightsError } from './errors.ts';

/** A buffer of weights. */
export interface PlannedBuffer {
  /** The tensors that it holds. */
  readonly name: string;
  readonly bytes: number;
}

/** What the weights of a model take. */
export interface WeightPlan {
  readonly buffers: readonly PlannedBuffer[];
  /** All of them together. */
  readonly bytes: number;
  readonly largest: PlannedBuffer;
  /** Bytes of the largest buffer that this device binds; a larger matrix is split into several. */
  readonly limit: number;
}

export interface MatrixLayout {
  /** Elements from row to row. */
  readonly stride: number;
  readonly parts: readonly {
    readonly firstRow: number;
    readonly rows: number;
    readonly bytes: number;
    /** Bytes of the part's scales; 0 for floats. */
    readonly scaleBytes: number;
  }[];
}

/**
 * How a matrix is laid out.
 *
 * A part of an NF4 matrix begins with a block. bitsandbytes quantises each tensor by itself, so where a tensor ends inside
 * a block, the part ends, too.
 *
 * @param name for messages
 * @param tensorRows rows of the tensors that are joined
 * @param maxPartBytes what one buffer can hold
 * @throws WeightsError if not even the rows that must stay together fit a buffer
 */
export function matrixLayout(
  name: string,
  type: ElementType | QuantizedType,
  tensorRows: readonly number[],
  columns: number,
  maxPartBytes: number,
): MatrixLayout {
  const quantized = type === 'nf4' || type === 'int8';
  const unit = quantized ? CODES_PER_WORD[type] : 4;
  const stride = unit * Math.ceil(columns / unit);
  const rowBytes = quantized ? (4 * stride) / unit : stride * ELEMENT_BYTES[type];
  const together = quantized ? blockRows(type, columns) : 1;
  const most = Math.floor(maxPartBytes / (together * rowBytes)) * together;
  if (most === 0)
    throw new WeightsError(
      `${name}: ${together === 1 ? 'one row takes' : `${together} rows, which begin with a block, take`} ${together * rowBytes} bytes as ${type}; ` +
        `this device's largest storage buffer has ${maxPartBytes}`,
    );
  const runs: number[] = [];
  for (const rows of tensorRows) {
    const last = runs.at(-1);
    if (last !== undefined && last % together === 0) runs[runs.length - 1] = last + rows;
    else runs.push(rows);
  }
  let firstRow = 0;
  const parts = runs.flatMap((run) => {
    const begin = firstRow;
    firstRow += run;
    return Array.from({ length: Math.ceil(run / most) }, (_, i) => {
      const rows = Math.min(most, run - i * most);
      const scaleBytes = quantized ? 4 * scaleCount(type, rows, columns) : 0;
      return { firstRow: begin + i * most, rows, bytes: rows * rowBytes, scaleBytes };
    });
  });
  return { stride, parts };
}

export function weightPlan(buffers: readonly PlannedBuffer[], limit: number): WeightPlan {
  return {
    buffers,
    bytes: buffers.reduce((sum, { bytes }) => sum + bytes, 0),
    largest: buffers.reduce((a, b) => (b.bytes > a.bytes ? b : a), { name: '', bytes: 0 }),
    limit,
  };
}

/**
 * The refusal of weights that do not fit.
 *
 * @param what whose weights they are, and how they are stored
 * @param available bytes, or what the device said as it refused a buffer
 * @param others what they would take as other storage types; the smaller ones are named as a cure
 */
export function doesNotFit(
  what: string,
  { bytes, largest }: WeightPlan,
  available: number | OutOfMemoryError,
  others: readonly { readonly type: string; readonly bytes: number }[],
): OutOfMemoryError {
  const smaller = others.filter((other) => other.bytes < bytes);
  const cure = smaller.map((other) => `${gib(other.bytes)} as ${other.type}`).join(', ');
  const found =
    typeof available === 'number'
      ? `${gib(available)} are available.`
      : `the device has no room for them (${available.message}).`;
  return new OutOfMemoryError(
    bytes,
    `${what} take ${gib(bytes)}, the largest buffer ${gib(largest.bytes)} (${largest.name}); ${found}` +
      (cure && ` They would take ${cure}.`),
    typeof available === 'number' ? {} : { cause: available },
  );
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(bytes < 2 ** 27 ? 4 : 2)} GiB`;
}
