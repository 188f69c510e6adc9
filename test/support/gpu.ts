import { onTestFinished } from 'vitest';
import type { Gpu, Work } from '../../src/gpu/index.ts';
import { type NodeGpuOptions, openGpu } from '../../src/platform/node/adapter.ts';

const open = new Map<string, Promise<Gpu>>();

/** With this in the environment, tests multiply on matrix units where the adapter has them. Their tolerances stay. */
const subgroupMatrices = process.env.NOTICE_TEST_MATRICES === '1';

/**
 * A device that all test files of a process share, with the kernels that they compiled; the same options give the same
 * device. A test that breaks or measures a device opens one of its own.
 */
export function testGpu(given: NodeGpuOptions = {}): Promise<Gpu> {
  const options = subgroupMatrices ? { subgroupMatrices, ...given } : given;
  const key = JSON.stringify(options);
  let gpu = open.get(key);
  if (!gpu) {
    gpu = openGpu(options);
    open.set(key, gpu);
  }
  return gpu;
}

const works = new Map<Gpu, Promise<Work>>();

/** A work on the shared device that stays open until the test's end: for kernels, which record into one. */
export async function testWork(given: NodeGpuOptions = {}): Promise<Work> {
  const gpu = await testGpu(given);
  let work = works.get(gpu);
  if (!work) {
    let end = () => {};
    const held = new Promise<void>((resolve) => {
      end = resolve;
    });
    let ended: Promise<void> | undefined;
    work = new Promise((resolve) => {
      ended = gpu.work((w) => {
        resolve(w);
        return held;
      });
    });
    works.set(gpu, work);
    onTestFinished(async () => {
      works.delete(gpu);
      end();
      await ended;
    });
  }
  return work;
}
