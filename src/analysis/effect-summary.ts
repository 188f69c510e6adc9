// Effects with everything a table says of them.

import type { EffectGroup, HeadEffects, ModuleEffects } from './effects.ts';
import {
  benjaminiHochberg,
  type ResamplingOptions,
  type Summary,
  signFlipPValue,
  summarize,
} from './inference.ts';
import { mean } from './statistics.ts';

export interface EffectSummary extends EffectGroup, Summary {
  readonly layer: number;
  /** Null: the whole module. */
  readonly head: number | null;
  /** Null: the role is not part of the comparison, as for heads. */
  readonly role: string | null;
  /** Mean of the absolute effect, by which heads are ranked. */
  readonly meanAbsolute: number;
  /** Sign-flip permutation test against no effect; adjusted (Benjamini–Hochberg) over the cells of the group. */
  readonly p: number;
  readonly pAdjusted: number;
}

/** One row per role and layer, or per layer and head; places without a sample are left out. */
export function summarizeEffects(
  effects: ModuleEffects | HeadEffects,
  options: ResamplingOptions = {},
): EffectSummary[] {
  const { task, modality, corruption, site } = effects;
  const rows = effects.values
    .flatMap((columns, row) =>
      columns.map((values, column) =>
        'roles' in effects
          ? { role: effects.roles[row]!, layer: column, head: null, values }
          : { role: null, layer: row, head: column, values },
      ),
    )
    .filter(({ values }) => values.length > 0);
  const p = rows.map(({ values }) => signFlipPValue(values, options));
  const pAdjusted = benjaminiHochberg(p);
  return rows.map(({ values, ...place }, i) => ({
    task,
    modality,
    corruption,
    site,
    ...place,
    ...summarize(values, options),
    meanAbsolute: mean(values.map(Math.abs)),
    p: p[i]!,
    pAdjusted: pAdjusted[i]!,
  }));
}
