// Pins stay at their tokens when another pair is looked at.

import { effect } from '@preact/signals';
import { pinsThere } from '../pin-places.ts';
import type { PromptToken } from '../protocol/session.ts';
import { model, pair, report } from './app.ts';
import { corruption } from './patched.ts';
import { pins, resetPins } from './pins.ts';

/** Takes pins over to every new pair of the same model; another model begins without any. */
export function followPair(): () => void {
  let before: { readonly model: string; readonly tokens: readonly PromptToken[] } | undefined;
  return effect(() => {
    const [open, shown] = [model.value, pair.value];
    if (!open || !shown) return;
    if (!shown.corrupt[corruption.peek()]) corruption.value = 'image';
    const now = { model: JSON.stringify(open.choice), tokens: shown.tokens };
    const list = pins.peek();
    if (before && before.model !== now.model && list.length > 0) resetPins([]);
    else if (before && list.length > 0 && JSON.stringify(before.tokens) !== JSON.stringify(now.tokens)) {
      const { tokens } = before;
      const moved = list.flatMap((pin) => pinsThere([pin], tokens, now.tokens, open.promptTower) ?? []);
      resetPins(moved);
      if (moved.length < list.length)
        report(new Error(`${list.length - moved.length} pins have no place in this question and are gone.`));
    }
    before = now;
  });
}
