// A map of a sweep as a table: the columns of an experiment's cells, as far as one pair has them.

import { CELL_COLUMNS } from '../../notice/tables/cell-schema.ts';
import { sweepRows } from '../../notice/tables/sweep-rows.ts';
import type { PairInfo } from '../protocol/session.ts';
import type { MapTable } from './map-table.ts';
import type { SiteMap } from './sweep.ts';

const { task, category, modality, draw, ...COLUMNS } = CELL_COLUMNS;

/** The cells that are measured, in the order of the sweep. */
export function sweepTable(map: SiteMap, { spec, tokens, clean, corrupt: runs }: PairInfo): MapTable {
  const { site, corruption } = map;
  const corrupt = runs[corruption];
  const rows = Array.from(sweepRows(map)).flatMap(({ group, ...row }) => {
    if (corrupt === undefined || !Number.isFinite(row.ld_effect)) return [];
    const token = tokens.find(({ position }) => position === row.position);
    return [
      {
        sample: spec.id ?? spec.question,
        corruption,
        site,
        ...row,
        role: token?.role ?? 'rest',
        token: token?.text ?? '',
        p_clean: clean.pCorrect,
        p_corrupt: corrupt.pCorrect,
        ld_clean: clean.logitDifference,
        ld_corrupt: corrupt.logitDifference,
      },
    ];
  });
  return { columns: COLUMNS, rows };
}
