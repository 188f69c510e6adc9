// Dawn in Node asks for finished work with `setImmediate`, that is, as often as the event loop turns. Where the GPU is
// software that takes a core from the very work that is waited for: on two cores a forward pass took twice as long.
// So calls from native code that follow each other closely are spaced out; all others are left alone.

/** Polls before the pauses begin: short work answers at once. */
const EAGER_POLLS = 16;
/** Pause between polls, in ms. */
const PAUSE_MS = 1;
/** A gap after which a new wait has begun, in ms. */
const NEW_WAIT_MS = 20;

let installed = false;

/** Replaces `globalThis.setImmediate`, once per process. */
export function spaceOutPolling(): void {
  if (installed) return;
  installed = true;
  const immediate = globalThis.setImmediate;
  let polls = 0;
  let latest = 0;
  const spaced = (callback: (...args: unknown[]) => void, ...args: unknown[]) => {
    if (!isNative(callback)) return immediate(callback, ...args);
    const now = performance.now();
    polls = now - latest > NEW_WAIT_MS ? 0 : polls + 1;
    latest = now;
    if (polls < EAGER_POLLS) return immediate(callback, ...args);
    return setTimeout(callback, PAUSE_MS, ...args);
  };
  globalThis.setImmediate = Object.assign(spaced, immediate) as unknown as typeof immediate;
}

/** Functions made by native code have no name and no source text. */
function isNative(callback: (...args: unknown[]) => void): boolean {
  return callback.name === '' && Function.prototype.toString.call(callback).includes('[native code]');
}
