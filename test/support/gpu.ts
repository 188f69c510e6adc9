import type { Gpu } from '../../src/gpu/index.ts';
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
