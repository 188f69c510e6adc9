// What a part is computed from: its pairs as the model reads them, and their sweeps.

import type { Part, RunContext } from './context.ts';
import { type Measurement, measurements } from './measure.ts';
import { type PreparedPair, preparePair } from './prepare.ts';

/** Pictures and prompts of a part's samples. */
export function preparePart(
  { model, processor, reader, settings }: RunContext,
  { chosen }: Pick<Part, 'chosen'>,
): Promise<PreparedPair[]> {
  return Promise.all(
    chosen.map(({ pair, answer, generated, digests }) =>
      preparePair(model, processor, pair, { answer, compat: settings.compat, reader, generated, digests }),
    ),
  );
}

/** The sweeps of a part's samples: those of noise, or all others. */
export function sweepsOf(
  { model, settings }: RunContext,
  part: Part,
  prepared: readonly PreparedPair[],
): Measurement[] {
  const corruptions = settings.corruptions.filter((name) => (name === 'noise') === (part.noise ?? false));
  return prepared.flatMap((one) =>
    measurements(model, { ...settings, corruptions }, part.task, one, part.deviation),
  );
}
