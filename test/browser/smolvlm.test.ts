// The golden test of test/models/smolvlm, in a browser.
import { expect, test } from 'vitest';
import { loadModel } from '../../src/models/index.ts';
import { runWithCache, sweep } from '../../src/patching/index.ts';
import { openGpu } from '../../src/platform/browser/adapter.ts';
import { asFloat32, httpFolder, httpSource, readTensors } from '../../src/weights/index.ts';
import { expectClose } from '../support/close.ts';

/** As in test/support/golden.ts and golden-family.ts. */
const GOLDEN = 1e-4;
const PATCH = 5e-5;

test('every activation of smolvlm-tiny, an answer and a sweep of its tiles', async () => {
  const gpu = await openGpu();
  const model = await loadModel(gpu, httpFolder('/test/fixtures/smolvlm-tiny'));
  const golden = await readTensors(await httpSource('/test/fixtures/smolvlm-tiny/golden.safetensors'));
  const values = (name: string) => {
    const tensor = golden.get(`case0/${name}`);
    if (!tensor) throw new Error(`no golden tensor ${name}`);
    return tensor;
  };
  const sampleOf = (run: string) => ({
    images: [
      {
        data: asFloat32(values(`${run}/pixel_values`), 'pixel_values'),
        ...{ height: 32, width: 32 },
        tiles: { rows: 1, columns: 3, overview: 'last' as const },
      },
    ],
    ids: Array.from(values(`${run}/input_ids`).data as ArrayLike<number>, Number),
  });
  const clean = sampleOf('clean');
  const { logits, cache } = await runWithCache(model, [clean]);
  expectClose(logits?.[0] ?? [], asFloat32(values('clean/logits'), 'logits'), { ofMax: GOLDEN });
  const names = cache.names.filter((name) => golden.has(`case0/clean/${name}`));
  expect(names.length).toBeGreaterThan(60);
  for (const name of names) {
    const expected = values(`clean/${name}`);
    expect(cache.get(name).shape, name).toEqual([1, ...expected.shape]);
    expectClose(await cache.read(name), asFloat32(expected, name), { ofMax: GOLDEN, name });
  }
  cache.release();

  const [answer] = await model.generate([clean], { maxNewTokens: 4 });
  expect(answer?.ids).toEqual([316, 382, 382]);

  const positions = [1, 15, 2 * 16 + 8, 3 * 16];
  const job = { clean, corrupt: sampleOf('corrupt'), correct: 317, incorrect: 379 };
  const [result] = await sweep(model, [{ ...job, sites: [{ site: 'vision.hook_mlp_out', positions }] }]);
  const table = asFloat32(values('patch_f64/vision_mlp_block'), 'vision_mlp_block');
  const effects = (of: ArrayLike<number>) => Array.from(of).filter((_, i) => i % 4 === 2);
  expectClose(effects(result?.sites[0]?.data ?? []), effects(table), { atol: PATCH });
  gpu.destroy();
});
