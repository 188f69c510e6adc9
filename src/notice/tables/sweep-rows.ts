// What a sweep found, as rows in the columns of a file of cells.

import type { CellRow } from '../../analysis/cell.ts';
import type { SiteResult } from '../../patching/index.ts';

/** What a sweep knows of a cell by itself. */
export type SweepRow = Pick<
  CellRow,
  'layer' | 'head' | 'position' | 'positions' | 'p_patched' | 'p_effect' | 'ld_effect' | 'normalized'
>;

/**
 * The cells of a site in the order of its numbers: by layer, head and group of positions.
 *
 * @returns each row, and which of the site's groups of positions it is of
 */
export function* sweepRows({
  layers,
  heads,
  positions,
  data,
}: Pick<SiteResult, 'layers' | 'heads' | 'positions' | 'data'>): Generator<
  SweepRow & { readonly group: number }
> {
  let at = 0;
  for (const layer of layers) {
    for (const head of heads === undefined ? [null] : Array.from({ length: heads }, (_, h) => h)) {
      for (const [group, places] of positions.entries()) {
        const [position = 0] = places;
        const [p_patched = 0, p_effect = 0, ld_effect = 0, normalized = 0] = data.subarray(at, at + 4);
        at += 4;
        yield {
          group,
          layer,
          head,
          position,
          positions: places.length,
          p_patched,
          p_effect,
          ld_effect,
          normalized: Number.isFinite(normalized) ? normalized : null,
        };
      }
    }
  }
}
