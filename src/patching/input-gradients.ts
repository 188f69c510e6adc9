// The metric's gradient by what parts of a sublayer read of the residual stream, each part by itself: back through its share of the input
// projection and through the norm before it.

import { columnsOf, TapedWork, type Tensor, type Work } from '../gpu/index.ts';
import {
  add,
  gatherRows,
  type LinearWeight,
  matmul,
  type NormWeights,
  normalize,
  spreadHeads,
} from '../kernels/index.ts';

export interface SublayerInput {
  /** For messages. */
  readonly family: string;
  /** The residual stream before the norm [positions, width]. */
  readonly stream: Tensor;
  readonly norm: NormWeights;
  /** Input projections and the gradients by what they give, in parts beside each other. */
  readonly outputs: readonly { readonly weight: LinearWeight; readonly parts: readonly Tensor[] }[];
  /** Heads of equal size among the columns, each a part by itself; 1 for all columns together. */
  readonly groups: number;
}

/** @returns [groups, positions · width] */
export async function inputGradients(
  w: Work,
  { family, stream, norm, outputs, groups }: SublayerInput,
): Promise<Tensor> {
  const { rows: count, columns: width } = stream;
  let sum: Tensor | undefined;
  for (const { weight, parts } of outputs) {
    const taped = new TapedWork(w, family);
    const repeated = gatherRows(
      w,
      stream,
      Uint32Array.from({ length: count * groups }, (_, i) => Math.floor(i / groups)),
      w.empty(count * groups, width, 'stream for each head'),
    );
    let found: Tensor | undefined;
    taped.tape.watch(repeated, (gradient) => {
      // Rows of a position, head by head, become those of a head, position by position.
      const order = Uint32Array.from(
        { length: count * groups },
        (_, i) => (i % count) * groups + Math.floor(i / count),
      );
      if (gradient)
        found = gatherRows(w, gradient, order, w.empty(order.length, width, 'gradients of inputs'));
    });
    const normalized = normalize(taped, repeated, norm);
    const output = matmul(taped, normalized, weight);
    const gradient = beside(w, parts);
    await taped.tape.backward(output, groups === 1 ? gradient : spread(w, gradient, groups));
    taped.release(repeated, normalized, output);
    const own =
      found ?? w.upload(new Float32Array(count * groups * width), count * groups, width, 'no gradient');
    const before: Tensor | undefined = sum;
    sum = before ? add(w, before, own) : own;
    if (before) w.release(before, own);
  }
  const all = sum as Tensor;
  return { ...all, rows: groups, columns: count * width, stride: count * width };
}

/** Each head in a row of its own. */
function spread(w: Work, gradient: Tensor, groups: number): Tensor {
  const rows = spreadHeads(w, gradient, groups);
  w.release(gradient);
  return rows;
}

/** A copy of tensors of as many rows, beside each other. */
function beside(w: Work, parts: readonly Tensor[]): Tensor {
  const [{ rows }] = parts as [Tensor];
  const index = Uint32Array.from({ length: rows }, (_, row) => row);
  const all = w.empty(
    rows,
    parts.reduce((sum, { columns }) => sum + columns, 0),
    'gradients beside each other',
  );
  let first = 0;
  for (const part of parts) {
    gatherRows(w, part, index, columnsOf(all, first, part.columns));
    first += part.columns;
  }
  return all;
}
