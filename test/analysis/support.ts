// Made-up results for the tests of analysis, plots and tables.

import type { CellRow } from '../../src/analysis/cell.ts';

/** A cell with everything filled in. */
export function cell(values: Partial<CellRow> = {}): CellRow {
  return {
    sample: 'scenes-000',
    task: 'scenes',
    category: 'subject',
    modality: 'image',
    corruption: 'sip',
    draw: 0,
    site: 'text_encoder.cross_attn.hook_z',
    layer: 0,
    head: null,
    position: 3,
    positions: 1,
    role: 'correct',
    token: 'star',
    p_patched: 0.25,
    p_effect: 0.125,
    ld_effect: 1.5,
    normalized: 0.375,
    p_clean: 0.875,
    p_corrupt: 0.125,
    ld_clean: 2.5,
    ld_corrupt: -1.5,
    ...values,
  };
}
