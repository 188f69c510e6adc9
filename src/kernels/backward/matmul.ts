import { checkShape } from '../../errors.ts';
import { shapeOf, type Tensor, type Work } from '../../gpu/index.ts';
import { deviceClass } from '../device-class.ts';
import { rowWindows } from '../matmul-operands.ts';
import { CHUNK } from '../matmul-variant.ts';
import { floatParts } from '../quantize.ts';
import { kernel } from '../source.ts';
import { isQuantized, type LinearWeight } from '../weight.ts';

/** Rows of a tile. Loads are dear on software adapters, so tiles are tall where there are rows. */
const HEIGHTS = { software: [12, 8, 4, 1], gpu: [8, 4, 1] } as const;
/** Reading the weights of a tile costs about as much as so many of its rows. */
const TILE_OVERHEAD = 2;

/**
 * ∂/∂A of what A · Wᵀ is used for: Y · W, with the weight as it is stored.
 *
 * @param y gradient of the product [M, N]; may be a window
 * @param weight [N, K]
 * @param x where it goes [M, K]; may be a window
 * @param accumulate whether it is added to what is there
 */
export function matmulBackward(
  w: Work,
  y: Tensor,
  weight: LinearWeight,
  x: Tensor,
  accumulate: boolean,
): void {
  checkShape(
    y.columns === weight.rows && x.columns === weight.columns && x.rows === y.rows,
    () => `gradient ${shapeOf(y)} of a product with ${weight.name}: its input is ${shapeOf(x)}`,
  );
  if (y.rows === 0) return;
  const { software, subgroupSize, maxDispatchFlops } = w.capabilities;
  const subgroups = deviceClass(w.capabilities).startsWith('software-');
  const lanes = subgroups ? subgroupSize : 32;
  const rows = heightFor(HEIGHTS[software ? 'software' : 'gpu'], y.rows);
  const type = isQuantized(weight) ? 'f32' : weight.type;
  let adds = accumulate;
  for (const part of floatParts(w, weight)) {
    const tail = part.rows % lanes !== 0;
    const source = kernel(
      'matmul_backward',
      [`${rows}x${lanes}`, type, subgroups && 'subgroups', tail && 'tail', adds && 'adds'],
      () => ({
        constants: { CHUNK, SG: lanes, MR: rows, SUBGROUPS: subgroups, TAIL: tail, ACCUMULATE: adds },
        weights: type,
        enable: subgroups ? ['subgroups'] : [],
      }),
    );
    for (const window of rowWindows(y.rows, rows, 2 * part.rows * x.columns, maxDispatchFlops))
      w.dispatch(
        source,
        { Y: y.buffer, W: part.buffer, X: x.buffer },
        {
          M: window.rows,
          N: part.rows,
          K: x.columns,
          nFirst: part.firstRow,
          yOffset: y.offset + window.first * y.stride,
          yStride: y.stride,
          wStride: weight.stride,
          xOffset: x.offset + window.first * x.stride,
          xStride: x.stride,
        },
        [Math.ceil(x.columns / (4 * lanes)), Math.ceil(window.rows / rows), 1],
        2 * window.rows * part.rows * x.columns,
      );
    adds = true;
  }
}

/** The height whose tiles cost least for m rows; of equal ones the first. */
function heightFor(heights: readonly number[], m: number): number {
  const cost = (rows: number) => Math.ceil(m / rows) * (rows + TILE_OVERHEAD);
  return heights.reduce((best, rows) => (cost(rows) < cost(best) ? rows : best));
}
