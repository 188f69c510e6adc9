import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { sharesBackward } from './backward/rows.ts';
import { ELEMENT_THREADS, gridOf } from './grid.ts';
import { kernel } from './source.ts';

/** Four rows and the share of each. */
export type Blend = readonly (readonly [row: number, share: number])[];

/**
 * Rows between rows of x, as bilinear interpolation makes them: row `first` + i of `out` is the sum of the rows of
 * `blends[i]` times their shares.
 *
 * @param x contiguous [*, C]
 * @param out contiguous [*, C] in another buffer
 */
export function blendRows(w: Work, x: Tensor, blends: readonly Blend[], out: Tensor, first = 0): void {
  checkShape(
    isContiguous(x) && isContiguous(out) && x.columns === out.columns && first + blends.length <= out.rows,
    () => `blending ${blends.length} rows of ${shapeOf(x)} into ${shapeOf(out)} from row ${first}`,
  );
  const wrong = blends.find((blend) => blend.length !== 4);
  checkShape(!wrong, () => `blending ${wrong?.length} rows into one, not four`);
  const beyond = blends.flat().find(([row]) => !(row >= 0 && row < x.rows));
  checkShape(!beyond, () => `blending row ${beyond?.[0]} of ${shapeOf(x)}`);
  if (blends.length === 0) return;
  const words = new Uint32Array(8 * blends.length);
  const shares = new Float32Array(words.buffer);
  blends.flat().forEach(([row, share], i) => {
    words[2 * i] = row;
    shares[2 * i + 1] = share;
  });
  const source = kernel('blend_rows', [], () => ({ constants: { WG: ELEMENT_THREADS } }));
  const table = w.uploadWords(words, 'blends');
  const { groups, gridX } = gridOf(w, blends.length);
  w.dispatch(
    source,
    { X: x.buffer, blends: table, Y: out.buffer },
    { R: blends.length, C: x.columns, yFirst: first, gridX },
    groups,
  );
  w.release(table);
  w.tape?.note({
    operator: 'rows between rows',
    reads: [x],
    writes: [out],
    backward: (b) =>
      sharesBackward(
        b,
        out,
        x,
        blends.flatMap((blend, row) => blend.map(([of, share]) => ({ of, in: first + row, share }))),
      ),
  });
}
