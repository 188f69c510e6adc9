// What is pinned, with undo and redo.

import { computed, signal } from '@preact/signals';
import type { EditPin, NewPin, Pin } from '../protocol/pins.ts';
import { type History, historyOf, redone, step, undone } from './history.ts';

const history = signal<History<readonly Pin[]>>(historyOf([]));

export const pins = computed(() => history.value.present);
/** Those that are switched on. */
export const activePins = computed(() => pins.value.filter(({ on }) => on));
export const canUndo = computed(() => history.value.past.length > 0);
export const canRedo = computed(() => history.value.future.length > 0);

/** Another list in the place of this one, as one step. */
function change(next: readonly Pin[], stroke?: string): void {
  history.value = step(history.value, next, stroke);
}

/** Pins all of it in one step. */
export function addPins(added: readonly NewPin[]): void {
  const first = 1 + Math.max(0, ...pins.value.map(({ id }) => id));
  change([...pins.value, ...added.map((pin, i): Pin => ({ ...pin, id: first + i, on: true }))]);
}

/** Changes a pin. Changes one after the other under the same `stroke` are undone together. */
export function changePin<P extends Pin>(
  pin: P,
  changes: Partial<Omit<P, 'id' | 'kind'>>,
  stroke?: string,
): void {
  change(
    pins.value.map((one) => (one.id === pin.id ? { ...pin, ...changes } : one)),
    stroke && `${pin.id} ${stroke}`,
  );
}

export function removePins(ids: readonly number[]): void {
  change(pins.value.filter(({ id }) => !ids.includes(id)));
}

/** Unpins a place that is pinned just so by itself, else pins it. */
export function togglePin(place: Omit<EditPin, 'id' | 'on' | 'kind' | 'operation'>): void {
  const same = pins.value.filter((pin) => pin.kind === 'edit' && isSamePlace(pin, place));
  if (same.length > 0) removePins(same.map(({ id }) => id));
  else addPins([{ kind: 'edit', operation: { kind: 'replace' }, ...place }]);
}

/** Begins anew with these, as a link has them. */
export function resetPins(list: readonly Pin[]): void {
  history.value = historyOf(list);
}

export function undo(): void {
  history.value = undone(history.value);
}

export function redo(): void {
  history.value = redone(history.value);
}

/** Ctrl or ⌘ with Z takes a step back, with Shift or with Y one forward, but not in fields, which have their own. */
export function undoKeys(): () => void {
  const onKeyDown = (event: KeyboardEvent) => {
    const key = event.key.toLowerCase();
    const inField =
      event.target instanceof Element &&
      event.target.closest('input[type=text], input[type=number], textarea');
    if (!(event.ctrlKey || event.metaKey) || event.altKey || inField || (key !== 'z' && key !== 'y')) return;
    event.preventDefault();
    if (key === 'z' && !event.shiftKey) undo();
    else redo();
  };
  addEventListener('keydown', onKeyDown);
  return () => removeEventListener('keydown', onKeyDown);
}

type Place = Pick<EditPin, 'hooks' | 'positions' | 'heads'>;

export function isSamePlace(a: Place, b: Place): boolean {
  const fields = [
    [a.hooks, b.hooks],
    [a.positions, b.positions],
    [a.heads, b.heads],
  ];
  return fields.every(([one, other]) => `${one}` === `${other}`);
}

/** Whether a pin covers a place: this hook point, head and positions, or more. */
export function covers(
  { hooks, positions, heads }: EditPin,
  hook: string,
  at: readonly number[],
  head: number | undefined,
): boolean {
  return (
    hooks.includes(hook) &&
    (positions === undefined || at.every((position) => positions.includes(position))) &&
    (heads === undefined || (head !== undefined && heads.includes(head)))
  );
}
