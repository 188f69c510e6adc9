// Attention overlays (paper, Figures 6, 7, 18-20): where a head looks more, and where less, than the average head.

import { checkShape } from '../errors.ts';
import { headPatches, type ImageAttention, minusAverage } from './image-attention.ts';

/** Values on a grid, row by row from the top left. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** A patch grid's size. */
export type GridSize = Pick<Grid, 'rows' | 'columns'>;

/**
 * The head's attention minus the mean over all heads of all layers, at the token for which `attention` was taken.
 * @throws ShapeError for a head that is not there, or a grid of another number of patches
 */
export function attentionOverlay(
  attention: ImageAttention,
  { layer, head }: { readonly layer: number; readonly head: number },
  { rows, columns }: GridSize,
): Grid {
  checkShape(
    rows * columns === attention.patches,
    () => `attentionOverlay: a grid of ${rows} × ${columns} does not hold ${attention.patches} patches.`,
  );
  checkShape(
    layer >= 0 && layer < attention.layers && head >= 0 && head < attention.heads,
    () =>
      `attentionOverlay: there is no L${layer}.H${head} among ${attention.layers} layers of ${attention.heads} heads.`,
  );
  return { rows, columns, data: minusAverage(attention, headPatches(attention, layer, head)) };
}

/**
 * Enlarges a grid by bilinear interpolation between the patches' centres, constant beyond the outermost ones. Unlike
 * the cubic spline of NOTICE's notebooks it makes no value that lies outside the data's range, hence no colour that no
 * patch has, and a patch's colour stays over that patch.
 */
export function upsample(grid: Grid, rows: number, columns: number): Grid {
  const vertical = interpolation(grid.rows, rows);
  const horizontal = interpolation(grid.columns, columns);
  const data = new Float32Array(rows * columns);
  vertical.forEach(([top, bottom, down], r) => {
    horizontal.forEach(([left, right, across], c) => {
      const at = (row: number, column: number) => grid.data[row * grid.columns + column]!;
      const above = at(top, left) + across * (at(top, right) - at(top, left));
      const below = at(bottom, left) + across * (at(bottom, right) - at(bottom, left));
      data[r * columns + c] = above + down * (below - above);
    });
  });
  return { rows, columns, data };
}

/** For each of `to` places along an axis of `from` values: the two values it lies between, and how far from the first. */
function interpolation(from: number, to: number): [number, number, number][] {
  return Array.from({ length: to }, (_, i) => {
    const place = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const low = Math.floor(place);
    return [low, Math.min(low + 1, from - 1), place - low];
  });
}
