// Waits that can be ended: by a caller's AbortSignal, or because what is waited for will never come.

/**
 * Waits for something, or until one of the signals aborts.
 *
 * @throws what `wait` throws; the signal's reason, as `fetch` does
 */
export function abortable<T>(wait: PromiseLike<T>, signals: readonly AbortSignal[]): Promise<T> {
  return new Promise((resolve, reject) => {
    const stops = signals.map((signal) => onAbort(signal, () => reject(signal.reason)));
    const settled = () => {
      for (const stop of stops) stop();
    };
    wait.then(
      (value) => {
        settled();
        resolve(value);
      },
      (error: unknown) => {
        settled();
        reject(error);
      },
    );
  });
}

/** Throws the reason of a signal that has aborted. */
export function checkAborted(signals: readonly AbortSignal[]): void {
  for (const signal of signals) signal.throwIfAborted();
}

/** The signals among these. */
export function signalsOf(...signals: readonly (AbortSignal | undefined)[]): readonly AbortSignal[] {
  return signals.filter((signal) => signal !== undefined);
}

/** What timers can wait, in ms; a longer one would be over at once. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * Waits no longer than `milliseconds`.
 *
 * @param tooLate the error of a wait that took longer
 */
export async function within<T>(
  wait: PromiseLike<T>,
  milliseconds: number,
  tooLate: () => Error,
): Promise<T> {
  const controller = new AbortController();
  const timeout = setTimeout(() => controller.abort(tooLate()), Math.min(milliseconds, LONGEST_TIMEOUT));
  try {
    return await abortable(wait, [controller.signal]);
  } finally {
    clearTimeout(timeout);
  }
}

/**
 * Lets so many milliseconds pass; 0 lets timers and input have their turn, in a long computation that waits for nothing.
 *
 * @throws the reason of a signal that aborts
 */
export async function pause(milliseconds: number, signals: readonly AbortSignal[] = []): Promise<void> {
  let timeout: ReturnType<typeof setTimeout> | undefined;
  const over = new Promise<void>((resolve) => {
    timeout = setTimeout(resolve, milliseconds);
  });
  try {
    await abortable(over, signals);
  } finally {
    clearTimeout(timeout);
  }
}

/** One listener a signal, however many wait: many of them are taken for a leak. */
const listeners = new WeakMap<AbortSignal, Set<() => void>>();

/** Calls back when the signal aborts, or at once. Returns what ends that. */
function onAbort(signal: AbortSignal, callback: () => void): () => void {
  if (signal.aborted) {
    callback();
    return () => {};
  }
  let callbacks = listeners.get(signal);
  if (!callbacks) {
    const all = new Set<() => void>();
    callbacks = all;
    listeners.set(signal, all);
    const abort = () => {
      for (const one of all) one();
    };
    signal.addEventListener('abort', abort, { once: true });
  }
  callbacks.add(callback);
  return () => callbacks.delete(callback);
}
