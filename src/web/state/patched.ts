// The corrupt run with all that is pinned: asked for anew whenever that changes.

import { effect, signal, untracked } from '@preact/signals';
import type { PatchedAnswer, PatchSpec } from '../protocol/patching.ts';
import type { CorruptionName } from '../protocol/session.ts';
import { model, pair, report } from './app.ts';
import { isCancelled, run } from './engine.ts';
import { activePins } from './pins.ts';

/** The corrupt run that is patched. */
export const corruption = signal<CorruptionName>('image');
/** Undefined while nothing is pinned. */
export const patched = signal<PatchedAnswer | undefined>(undefined);

/**
 * Keeps {@link patched} up to date. While an answer is on its way, only the newest wish waits: a slider shows what it passes,
 * and never computes what it has long left.
 */
export function patchAlong(): () => void {
  let wish: PatchSpec | undefined;
  let working = false;
  const work = async () => {
    working = true;
    for (let spec = wish; spec; spec = wish === spec ? undefined : wish) {
      try {
        const answer = await run('patch', spec);
        if (wish) patched.value = answer;
      } catch (error) {
        if (wish === spec) patched.value = undefined;
        if (!isCancelled(error)) report(error);
      }
    }
    working = false;
  };
  return effect(() => {
    const list = activePins.value;
    const name = corruption.value;
    const ready = model.value && pair.value?.corrupt[name];
    if (!ready || list.length === 0) {
      wish = undefined;
      patched.value = undefined;
      return;
    }
    wish = { corruption: name, pins: list };
    if (!working) untracked(() => void work());
  });
}
