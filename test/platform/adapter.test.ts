import { expect, test } from 'vitest';
import { NoAdapterError } from '../../src/gpu/index.ts';
import { openGpu } from '../../src/platform/node/adapter.ts';
import { testGpu } from '../support/gpu.ts';

test('who insists on hardware is not given what computes on the CPU, whichever driver offers it', async () => {
  const gpu = await testGpu({ adapter: 'software' }); // from here on Dawn finds it by itself
  expect(gpu.capabilities.software).toBe(true);
  const opening = openGpu({ adapter: 'hardware' });
  await expect(opening).rejects.toThrow(NoAdapterError);
  await expect(opening).rejects.toThrow(/No hardware WebGPU adapter was found/);
});
