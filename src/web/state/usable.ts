// Which pairs of the embedded data the open model answers as an experiment needs it.

import { effect, signal, untracked } from '@preact/signals';
import type { EmbeddedPair } from '../protocol/embedded.ts';
import { model, report } from './app.ts';
import { cancel, isCancelled, run } from './engine.ts';

export type Usability = 'usable' | 'not usable';

/** What is known of the open model, by the pair's id. */
export const usability = signal<ReadonlyMap<string, Usability>>(new Map());
export const onlyUsable = signal(false);
export const checking = signal<{ readonly done: number; readonly of: number } | undefined>(undefined);

/** Asks the model those of the pairs that it has not been asked yet. */
export async function checkUsable(pairs: readonly EmbeddedPair[]): Promise<void> {
  const unknown = pairs.filter(({ id }) => !usability.value.has(id));
  let done = pairs.length - unknown.length;
  checking.value = { done, of: pairs.length };
  try {
    await run('usable', unknown, {
      onEvent: (found) => {
        const known = new Map(usability.value);
        for (const { id, usable } of found) known.set(id, usable ? 'usable' : 'not usable');
        usability.value = known;
        done += found.length;
        checking.value = { done, of: pairs.length };
      },
    });
  } catch (error) {
    if (!isCancelled(error)) report(error);
  } finally {
    checking.value = undefined;
  }
}

export function stopChecking(): void {
  cancel('usable');
}

/** What was found is of one model: forgets it where another is opened. */
export function forgetWithModel(): () => void {
  let known = model.peek()?.name;
  return effect(() => {
    const name = model.value?.name;
    if (name === undefined || name === known) return;
    known = name;
    untracked(() => {
      usability.value = new Map();
      onlyUsable.value = false;
      stopChecking();
    });
  });
}
