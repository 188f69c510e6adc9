// Undo and redo of one value.

export interface History<T> {
  readonly past: readonly T[];
  readonly present: T;
  readonly future: readonly T[];
  /** What the last step belongs to: further steps of the same are one with it (a slider on its way). */
  readonly stroke?: string | undefined;
}

/** Steps that can be undone. */
const DEPTH = 200;

export function historyOf<T>(present: T): History<T> {
  return { past: [], present, future: [] };
}

/** A step forward; what was undone is forgotten. */
export function step<T>(
  { past, present, stroke: last }: History<T>,
  next: T,
  stroke?: string | undefined,
): History<T> {
  const goesOn = stroke !== undefined && stroke === last;
  return { past: goesOn ? past : [...past, present].slice(-DEPTH), present: next, future: [], stroke };
}

/** One step back, if there is one. */
export function undone<T>(history: History<T>): History<T> {
  const { past, present, future } = history;
  if (past.length === 0) return history;
  return { past: past.slice(0, -1), present: past.at(-1) as T, future: [present, ...future] };
}

/** One step forward again, if one was undone. */
export function redone<T>(history: History<T>): History<T> {
  const { past, present, future } = history;
  if (future.length === 0) return history;
  return { past: [...past, present], present: future[0] as T, future: future.slice(1) };
}
