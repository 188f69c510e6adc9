// Patches of the picture that are painted with the brush, until something is done with them.

import { effect, signal } from '@preact/signals';
import type { PatchesPin } from '../protocol/pins.ts';
import { pair } from './app.ts';
import { addPins } from './pins.ts';

/** By their place in the grids one after the other, in order. */
export const painted = signal<readonly number[]>([]);

/** Puts paint on a patch, or takes it off. */
export function paint(patch: number, on: boolean): void {
  const others = painted.value.filter((one) => one !== patch);
  painted.value = (on ? [...others, patch] : others).sort((a, b) => a - b);
}

/** Pins what is painted. */
export function pinPainted(operation: PatchesPin['operation']): void {
  addPins([{ kind: 'patches', patches: painted.value, operation }]);
  painted.value = [];
}

/** Keys that the attention which reads the image has for patches. */
export function keysOfPatches(patches: readonly number[]): number[] {
  const keys = (pair.value?.grids ?? []).flatMap((grid) => grid.keys);
  return patches.map((patch) => keys[patch] as number);
}

/** Another picture has another grid. */
export function forgetPaint(): () => void {
  let before: string | undefined;
  return effect(() => {
    const now = JSON.stringify(pair.value?.grids);
    if (now !== before) painted.value = [];
    before = now;
  });
}
