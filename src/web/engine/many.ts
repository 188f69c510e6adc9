// What is pinned on one pair, applied to others: positions go over by the part that their tokens play in the question.

import { summarizeAll } from '../../analysis/inference.ts';
import { NoticeError } from '../../errors.ts';
import { patchPair } from '../../patching/index.ts';
import { pinsThere } from '../pin-places.ts';
import type { ManyPoint, ManySpec, ManySummary, MeanEffect } from '../protocol/patching.ts';
import { readPair } from './choose-pair.ts';
import { pinnedInterventions } from './interventions.ts';
import { runsOf } from './pair.ts';
import { patchEffects } from './patch.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

type Patched = Extract<ManyPoint, { kind: 'patched' }>;

/** @returns undefined if no pair could be patched */
export async function patchMany(
  session: Session,
  { pairs, corruption, pins }: ManySpec,
  { signal, emit }: TaskContext<ManyPoint>,
): Promise<ManySummary | undefined> {
  const { model, processor } = session.opened;
  const here = session.pair;
  const points: Patched[] = [];
  for (const spec of pairs) {
    const id = spec.id ?? spec.question;
    const leaveOut = (reason: string) => emit({ kind: 'left out', id, reason });
    try {
      const read = await readPair(session, spec, signal);
      const pair = runsOf(read, corruption);
      const moved = pinsThere(pins, here.info.tokens, read.info.tokens, model.promptTower);
      if (!moved) {
        leaveOut('its question has no token of a part that is pinned');
        continue;
      }
      const interventions = await pinnedInterventions(model, pair, moved, signal);
      const logits = await patchPair(model, pair, interventions, { signal });
      const { effects } = patchEffects(processor, logits, pair);
      const point: Patched = { kind: 'patched', id, pins: moved, ...effects };
      points.push(point);
      emit(point);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof NoticeError)) throw error;
      leaveOut(error.message);
    }
  }
  return points.length > 0 ? summaryOf(points) : undefined;
}

function summaryOf(points: readonly Patched[]): ManySummary {
  const [pEffect, ldEffect, normalized] = summarizeAll([
    points.map((point) => point.pEffect),
    points.map((point) => point.ldEffect),
    // Undefined where clean and corrupt run have the same logit difference.
    points.map((point) => (Number.isFinite(point.normalized) ? point.normalized : undefined)),
  ]);
  return { pEffect, ldEffect, normalized } as Record<keyof ManySummary, MeanEffect>;
}
