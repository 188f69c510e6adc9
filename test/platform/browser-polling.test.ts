// A device as Firefox's: what it waits for ends only while something is submitted.

import { expect, test } from 'vitest';
import { askWhileWaiting } from '../../src/platform/browser/polling.ts';

/** Waits end with the third submission after them, or never. */
function lazyDevice() {
  const waiting: { end: () => void; left: number }[] = [];
  const wait = () =>
    new Promise<undefined>((resolve) => waiting.push({ end: () => resolve(undefined), left: 3 }));
  let submissions = 0;
  const device = {
    queue: {
      submit: () => {
        submissions++;
        for (const one of waiting) if (--one.left === 0) one.end();
      },
      onSubmittedWorkDone: wait,
    },
    createBuffer: () => ({ mapAsync: wait }),
  };
  return { device: device as unknown as GPUDevice, submissions: () => submissions };
}

test.each(['onSubmittedWorkDone', 'mapAsync'])(
  '%s is asked for until it ends, and no longer',
  async (name) => {
    const { device: lazy, submissions } = lazyDevice();
    const adapter = askWhileWaiting({ requestDevice: async () => lazy } as unknown as GPUAdapter);
    const device = await adapter.requestDevice();
    if (name === 'mapAsync') await device.createBuffer({ size: 4, usage: 9 }).mapAsync(1);
    else await device.queue.onSubmittedWorkDone();
    expect(submissions()).toBe(3);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(submissions()).toBe(3);
  },
);
