import { afterAll } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { type NodeGpuOptions, openGpu } from '../../src/platform/node/adapter.ts';

const open = new Map<string, Promise<Gpu>>();

/** The test file's device; the same options give the same device. Closed after the file's last test. */
export function testGpu(options: NodeGpuOptions = {}): Promise<Gpu> {
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
