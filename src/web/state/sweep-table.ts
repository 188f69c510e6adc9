// A map of a sweep as a table: the columns of an experiment's cells, as far as one pair has them.

import { CELL_COLUMNS } from '../../notice/tables/cell-schema.ts';
import { METRICS } from '../../patching/index.ts';
import type { PairInfo } from '../protocol/session.ts';
import type { MapTable } from './map-table.ts';
import type { SiteMap } from './sweep.ts';

const { task, category, modality, draw, ...COLUMNS } = CELL_COLUMNS;

/** The cells that are measured, in the order of the sweep. */
export function sweepTable(map: SiteMap, { spec, tokens, clean, corrupt: runs }: PairInfo): MapTable {
  const { site, corruption, layers, heads, positions, data } = map;
  const corrupt = runs[corruption];
  const list = heads === undefined ? [null] : Array.from({ length: heads }, (_, head) => head);
  const cells = layers.flatMap((layer) =>
    list.flatMap((head) => positions.map((at) => ({ layer, head, at }))),
  );
  const rows = cells.flatMap(({ layer, head, at }, cell) => {
    const [p, pEffect, ldEffect, normalized] = data.subarray(METRICS.length * cell) as unknown as number[];
    if (corrupt === undefined || !Number.isFinite(ldEffect)) return [];
    const [position = 0] = at;
    const token = tokens.find((one) => one.position === position);
    return [
      {
        sample: spec.id ?? spec.question,
        corruption,
        site,
        layer,
        head,
        position,
        positions: at.length,
        role: token?.role ?? 'rest',
        token: token?.text ?? '',
        p_patched: p as number,
        p_effect: pEffect as number,
        ld_effect: ldEffect as number,
        normalized: Number.isFinite(normalized) ? (normalized as number) : null,
        p_clean: clean.pCorrect,
        p_corrupt: corrupt.pCorrect,
        ld_clean: clean.logitDifference,
        ld_corrupt: corrupt.logitDifference,
      },
    ];
  });
  return { columns: COLUMNS, rows };
}
