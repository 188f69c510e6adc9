// The golden test of test/models/blip.test.ts, in a browser.
import { expect, test } from 'vitest';
import { loadModel } from '../../src/models/index.ts';
import { runWithCache } from '../../src/patching/index.ts';
import { openGpu } from '../../src/platform/browser/adapter.ts';
import { asFloat32, httpFolder, httpSource, readTensors } from '../../src/weights/index.ts';
import { expectClose } from '../support/close.ts';

/** The reference's own f32 error is up to 4e-5 of a tensor's largest value; this leaves room for as much of ours. */
const GOLDEN = 1e-4;

test('every activation of blip-tiny, case 0, clean run', async () => {
  const gpu = await openGpu();
  const model = await loadModel(gpu, httpFolder('/test/fixtures/blip-tiny'));
  const golden = await readTensors(await httpSource('/test/fixtures/blip-tiny/golden.safetensors'));
  const prefix = 'case0/clean/';
  const values = (name: string) => {
    const tensor = golden.get(prefix + name);
    if (!tensor) throw new Error(`no golden tensor ${name}`);
    return tensor;
  };
  const pixels = values('pixel_values');
  const image = { data: asFloat32(pixels, 'pixel_values'), height: 48, width: 48 };
  const ids = Array.from(values('input_ids').data as ArrayLike<number>, Number);
  const { logits, cache } = await runWithCache(model, [{ images: [image], ids }]);
  expectClose(logits?.[0] ?? [], asFloat32(values('logits'), 'logits'), { ofMax: GOLDEN, name: 'logits' });
  const names = [...golden.keys()]
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((name) => cache.has(name) && name !== 'logits');
  expect(names.length).toBeGreaterThan(150);
  for (const name of names)
    expectClose(await cache.read(name), asFloat32(values(name), name), { ofMax: GOLDEN, name });
  cache.release();
  gpu.destroy();
});
