// What is pinned, on other pairs of the data set.

import { computed, effect, signal } from '@preact/signals';
import type { EmbeddedPair } from '../protocol/embedded.ts';
import type { ManyPoint, ManySummary } from '../protocol/patching.ts';
import type { PairSpec } from '../protocol/session.ts';
import { model, pair, report } from './app.ts';
import { cancel, isCancelled, run } from './engine.ts';
import { embeddedPairs, specOf } from './first.ts';
import { corruption } from './patched.ts';
import { activePins } from './pins.ts';
import { checkUsable, stopChecking, usability } from './usable.ts';

export const points = signal<readonly ManyPoint[]>([]);
export const summary = signal<ManySummary | undefined>(undefined);
/** How many pairs are to be patched while that is under way. */
export const asked = signal<number | undefined>(undefined);

/** The pairs of the same data set but the one that is looked at, those behind it first. */
export const others = computed(() => {
  const id = pair.value?.spec.id;
  const [set] = id?.split('/') ?? [];
  const all = embeddedPairs.value.filter((one) => one.id.split('/')[0] === set);
  const here = all.findIndex((one) => one.id === id);
  return [...all.slice(here + 1), ...all.slice(0, Math.max(here, 0))];
});

/** Applies what is pinned to the first `n` of them. */
export async function patchOthers(n: number): Promise<void> {
  points.value = [];
  summary.value = undefined;
  asked.value = n;
  try {
    const pairs = (await usableOthers(n)).map(corruptedAlike);
    if (!asked.value) return;
    asked.value = pairs.length;
    const spec = { pairs, corruption: corruption.value, pins: activePins.value };
    summary.value = await run('many', spec, {
      onEvent: (point) => {
        points.value = [...points.value, point];
      },
    });
  } catch (error) {
    if (!isCancelled(error)) report(error);
  } finally {
    asked.value = undefined;
  }
}

/** Another pair with the corruption of the one that is looked at, unless that is of one picture only. */
function corruptedAlike(other: EmbeddedPair): PairSpec {
  const image = pair.value?.spec.image;
  const spec = specOf(other);
  return image?.kind === 'noise' || image?.kind === 'no-image' ? { ...spec, image } : spec;
}

/** The first `n` of the others that the model answers as an experiment needs it: it is asked where that is not known. */
async function usableOthers(n: number): Promise<EmbeddedPair[]> {
  const all = others.value;
  const usable = () => all.filter(({ id }) => usability.value.get(id) === 'usable').slice(0, n);
  for (let first = 0; asked.value && usable().length < n && first < all.length; first += n)
    await checkUsable(all.slice(first, first + n));
  return usable();
}

export function stopMany(): void {
  if (asked.peek() !== undefined) stopChecking();
  asked.value = undefined;
  cancel('many');
}

/** What other pins or another pair gave is forgotten. */
export function forgetMany(): () => void {
  let before: string | undefined;
  return effect(() => {
    // The first pair is the same before and after its model is loaded.
    const now = JSON.stringify([activePins.value, pair.value?.spec, model.value?.choice, corruption.value]);
    if (now === before) return;
    before = now;
    stopMany();
    points.value = [];
    summary.value = undefined;
  });
}
