// Dawn in Node asks for finished work with `setImmediate`, that is, as often as the event loop turns. Where the GPU is
// software that takes a core from the very work that is waited for: on two cores a forward pass took twice as long.
// So after the first moments of a wait its polls are spaced out.
//
// Dawn looks `setImmediate` up on globalThis while it is asked for something, and again in each poll. For these two
// moments, in which no other code runs, ours stands there: the process around us never meets it.

import { setImmediate, setTimeout } from 'node:timers';

/** How long a wait polls without pauses, in ms: the shortest work answers at once. */
const EAGER_MS = 0.05;
/** Until then the pauses are naps, in ms: a timer cannot be as short, and a short wait would take twice its time. */
const NAPS_UNTIL_MS = 8;
const NAP_MS = 0.02;
/** The pause from then on, in ms. */
const PAUSE_MS = 1;

type Callback = (...args: unknown[]) => void;

/** Spaces out the polls of every wait on the adapter's devices, and on what they make. */
export function spaceOutPolling(adapter: GPUAdapter): GPUAdapter {
  const requestDevice = adapter.requestDevice.bind(adapter);
  adapter.requestDevice = async (...args) => spacedDevice(await polled(() => requestDevice(...args)));
  return adapter;
}

function spacedDevice(device: GPUDevice): GPUDevice {
  space(device, 'popErrorScope', 'createComputePipelineAsync', 'createRenderPipelineAsync');
  space(device.queue, 'onSubmittedWorkDone');
  const createBuffer = device.createBuffer.bind(device);
  device.createBuffer = (...args) => space(createBuffer(...args), 'mapAsync');
  const createShaderModule = device.createShaderModule.bind(device);
  device.createShaderModule = (...args) => space(createShaderModule(...args), 'getCompilationInfo');
  return device;
}

/** Puts methods of an object's own before those of its class. */
function space<T extends object>(object: T, ...names: (keyof T)[]): T {
  for (const name of names) {
    const method = object[name] as (...args: unknown[]) => unknown;
    object[name] = ((...args: unknown[]) => polled(() => method.apply(object, args))) as T[typeof name];
  }
  return object;
}

/**
 * Calls into Dawn, and has the polls spaced out that it schedules meanwhile.
 *
 * @param begun when the wait began to which the call belongs, in ms: a poll asks for the next one
 */
function polled<T>(call: () => T, begun = performance.now()): T {
  const host = globalThis.setImmediate;
  const ours = (callback: Callback, ...args: unknown[]) =>
    // Listeners of errors may run in a poll, too.
    isNative(callback)
      ? schedule(() => polled(() => callback(...args), begun), performance.now() - begun)
      : host(callback, ...args);
  globalThis.setImmediate = Object.assign(ours, host) as unknown as typeof host;
  try {
    return call();
  } finally {
    globalThis.setImmediate = host;
  }
}

/** @param waited since when the wait is going on, in ms */
function schedule(poll: () => void, waited: number): NodeJS.Immediate | NodeJS.Timeout {
  if (waited >= NAPS_UNTIL_MS) return setTimeout(poll, PAUSE_MS);
  if (waited >= EAGER_MS && !othersAreDue()) Atomics.wait(NEVER, 0, 0, NAP_MS);
  return setImmediate(poll);
}

const NEVER = new Int32Array(new SharedArrayBuffer(4));

/** A nap stops the whole thread: not while callbacks of others could run. */
function othersAreDue(): boolean {
  return process.getActiveResourcesInfo().includes('Immediate');
}

/** Functions made by native code have no name and no source text. */
function isNative(callback: Callback): boolean {
  return callback.name === '' && Function.prototype.toString.call(callback).includes('[native code]');
}
