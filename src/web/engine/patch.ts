// The corrupt run with all that is pinned.

import type { Processor } from '../../models/index.ts';
import { type PairLogits, patchPair } from '../../patching/index.ts';
import type { PatchedAnswer, PatchSpec } from '../protocol/patching.ts';
import { firstToken } from './first-token.ts';
import { pinnedInterventions } from './interventions.ts';
import { runsOf } from './pair.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/** @throws NoticeError as `patchPair` */
export async function patchPinned(
  session: Session,
  { corruption, pins }: PatchSpec,
  { signal }: TaskContext<never>,
): Promise<PatchedAnswer> {
  const started = performance.now();
  const { model, processor } = session.opened;
  const pair = runsOf(session.pair, corruption);
  const interventions = await pinnedInterventions(model, pair, pins, signal);
  const features = await session.features(signal);
  const logits = await patchPair(model, pair, interventions, { features, signal });
  const { effects, patched } = patchEffects(processor, logits, pair);
  return { ...patched, ...effects, milliseconds: performance.now() - started };
}

/** What a patch changed, by the definitions of a sweep's numbers (`METRICS`). */
export function patchEffects(
  processor: Processor,
  logits: PairLogits,
  options: { readonly correct: number; readonly incorrect: number },
) {
  const [clean, corrupt, patched] = (['clean', 'corrupt', 'patched'] as const).map((run) =>
    firstToken(processor, logits[run], options),
  ) as [FirstToken, FirstToken, FirstToken];
  const ldEffect = patched.logitDifference - corrupt.logitDifference;
  const effects = {
    pEffect: patched.pCorrect - corrupt.pCorrect,
    ldEffect,
    normalized: ldEffect / (clean.logitDifference - corrupt.logitDifference),
  };
  return { effects, patched };
}

type FirstToken = ReturnType<typeof firstToken>;
