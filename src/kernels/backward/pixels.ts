import type { Share, Tensor, Work } from '../../gpu/index.ts';
import { ELEMENT_THREADS, elementGrid } from '../grid.ts';
import { kernel } from '../source.ts';

/** From the gradient of patches' rows to that of the pixels, [B, 3 · height · width]. Those in no patch have zeros. */
export function imagePatchesBackward(
  w: Work,
  rows: Tensor,
  { tensor, accumulate }: Share,
  height: number,
  width: number,
  patch: number,
): void {
  const source = kernel('image_patches_backward', [accumulate && 'adds'], () => ({
    constants: { WG: ELEMENT_THREADS, ACCUMULATE: accumulate },
  }));
  const count = tensor.rows * tensor.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(
    source,
    { X: rows.buffer, P: tensor.buffer },
    { count, threads, H: height, W: width, S: patch },
    groups,
  );
}
