// Effects with everything a table says of them.

import type { EffectPlace, HeadEffects, ModuleEffects } from './effects.ts';
import {
  defined,
  type ResamplingOptions,
  type SampleValues,
  type SignFlipTest,
  type Summary,
  signFlipTests,
  summarizeAll,
} from './inference.ts';
import { mean } from './statistics.ts';

/** The p-values test against no effect, adjusted over the rows of the same task, category, corruption and site. */
export interface EffectSummary extends EffectPlace, Summary, SignFlipTest {
  /** Mean of the absolute effect, by which heads are ranked. */
  readonly meanAbsolute: number;
}

/** One row per role and layer, or per layer and head; places without a sample are left out. */
export function summarizeEffects(
  effects: ModuleEffects | HeadEffects,
  options: ResamplingOptions = {},
): EffectSummary[] {
  const { task, category, modality, corruption, site } = effects;
  const rows = effects.values
    .flatMap((columns: readonly SampleValues[], row) =>
      columns.map((values, column) =>
        'roles' in effects
          ? { role: effects.roles[row]!, layer: column, head: null, values }
          : { role: null, layer: row, head: column, values },
      ),
    )
    .filter(({ values }) => values.some((value) => value !== undefined));
  const tests = rows.map(({ values }) => values);
  const summaries = summarizeAll(tests, options);
  const significance = signFlipTests(tests, options);
  return rows.map(({ values, ...place }, i) => ({
    task,
    category,
    modality,
    corruption,
    site,
    ...place,
    ...summaries[i]!,
    ...significance[i]!,
    meanAbsolute: mean(defined(values).map(Math.abs)),
  }));
}
