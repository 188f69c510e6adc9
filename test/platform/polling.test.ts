// What waits of a device take from the process around them: nothing.

import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { openGpu } from '../../src/platform/node/index.ts';
import { testGpu } from '../support/gpu.ts';

const { setImmediate: original } = globalThis;
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  globalThis.setImmediate = original;
});

/** Work that Dawn is asked about many times, in every way that the library asks. */
async function waits({ device }: Gpu): Promise<void> {
  const code = `
    @group(0) @binding(0) var<storage, read_write> out: array<f32>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      for (var i = 0u; i < 300000u; i++) { out[id.x] += sin(f32(i)); }
    }`;
  device.pushErrorScope('validation');
  const module = device.createShaderModule({ code });
  await module.getCompilationInfo();
  const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute: { module } });
  const buffer = device.createBuffer({ size: 256, usage: 4 | 128 });
  const staging = device.createBuffer({ size: 256, usage: 1 | 8 });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer } }],
    }),
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, 256);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(1);
  staging.unmap();
  await device.queue.onSubmittedWorkDone();
  expect(await device.popErrorScope()).toBe(null);
}

test('setImmediate is its own before, while and after devices are opened, waited for and destroyed', async () => {
  const seen = new Set<unknown>();
  const look = setInterval(() => seen.add(globalThis.setImmediate), 1);
  const gpu = await openGpu();
  const waiting = waits(gpu);
  for (let turn = 0; turn < 100; turn++) {
    seen.add(globalThis.setImmediate);
    await nextTurn();
  }
  await waiting;
  clearInterval(look);
  gpu.destroy();
  seen.add(globalThis.setImmediate);
  expect([...seen]).toEqual([original]);
});

test('of what someone else has put in its place the device calls nothing', async () => {
  const gpu = await testGpu();
  const theirs = vi.fn(original);
  globalThis.setImmediate = Object.assign(theirs, original) as unknown as typeof original;
  await waits(gpu);
  expect(theirs).not.toHaveBeenCalled();
  expect(globalThis.setImmediate).toBe(theirs);
});

test('waits end although timers are fake', async () => {
  const gpu = await testGpu();
  vi.useFakeTimers();
  await waits(gpu);
  expect(vi.getTimerCount()).toBe(0);
});

test('the thread rests in a wait, but not while callbacks of others are due', async () => {
  const gpu = await testGpu();
  const nap = vi.spyOn(Atomics, 'wait');
  await waits(gpu);
  expect(nap).toHaveBeenCalled();
  nap.mockClear();
  let done = false;
  const busy = () => void (done || original(busy));
  busy();
  await waits(gpu);
  done = true;
  expect(nap).not.toHaveBeenCalled();
});

test('waits on devices of others are polled as they were', async () => {
  await testGpu(); // provides the driver
  const { create } = await import('webgpu');
  const entry = create([]);
  const adapter = await entry.requestAdapter();
  const device = await adapter?.requestDevice();
  const nap = vi.spyOn(Atomics, 'wait');
  const polls = vi.spyOn(globalThis, 'setImmediate');
  await waits({ device } as Gpu);
  expect(polls.mock.calls.length).toBeGreaterThan(0);
  expect(nap).not.toHaveBeenCalled();
  device?.destroy();
});
