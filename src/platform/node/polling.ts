// Dawn in Node asks for finished work with `setImmediate`, that is, as often as the event loop turns. Where the GPU is
// software that takes a core from the very work that is waited for: on two cores a forward pass took twice as long.
// So after the first moments of a wait, calls from native code are spaced out; all others are left alone.

/** How long a wait polls without pauses, in ms: the shortest work answers at once. */
const EAGER_MS = 0.05;
/** Until then the pauses are naps, in ms: a timer cannot be as short, and a short wait would take twice its time. */
const NAPS_UNTIL_MS = 8;
const NAP_MS = 0.02;
/** The pause from then on, in ms. */
const PAUSE_MS = 1;

let installed = false;

/** Replaces `globalThis.setImmediate`, once per process. */
export function spaceOutPolling(): void {
  if (installed) return;
  installed = true;
  const immediate = globalThis.setImmediate;
  const never = new Int32Array(new SharedArrayBuffer(4));
  let polling = false;
  let begun = 0;
  const spaced = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (!isNative(callback)) return immediate(callback, ...args);
    const now = performance.now();
    // A wait that goes on asks for the next poll during a poll; a new one does not.
    if (!polling) begun = now;
    const poll = () => {
      polling = true;
      try {
        callback(...args);
      } finally {
        polling = false;
      }
    };
    const waited = now - begun;
    if (waited >= NAPS_UNTIL_MS) return setTimeout(poll, PAUSE_MS);
    if (waited >= EAGER_MS) Atomics.wait(never, 0, 0, NAP_MS);
    return immediate(poll);
  };
  globalThis.setImmediate = Object.assign(spaced, immediate) as unknown as typeof immediate;
}

/** Functions made by native code have no name and no source text. */
function isNative(callback: (...args: unknown[]) => void): boolean {
  return callback.name === '' && Function.prototype.toString.call(callback).includes('[native code]');
}
