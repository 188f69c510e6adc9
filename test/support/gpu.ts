import { afterAll } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { type NodeGpuOptions, openGpu } from '../../src/platform/node/adapter.ts';

const open = new Map<string, Promise<Gpu>>();

/** With this in the environment, tests multiply on matrix units where the adapter has them. Their tolerances stay. */
const subgroupMatrices = process.env.NOTICE_TEST_MATRICES === '1';

/** The test file's device; the same options give the same device. Closed after the file's last test. */
export function testGpu(given: NodeGpuOptions = {}): Promise<Gpu> {
  const options = subgroupMatrices ? { subgroupMatrices, ...given } : given;
  const key = JSON.stringify(options);
  let gpu = open.get(key);
  if (!gpu) {
    gpu = openGpu(options);
    open.set(key, gpu);
    afterAll(async () => {
      open.delete(key);
      (await gpu)?.destroy();
    });
  }
  return gpu;
}
