// The kernels of the class 'gpu', whole models through: on an adapter that is taken for a GPU they give what Hugging Face's
// implementation gives, and sweeps that equal one-by-one runs bit for bit.

import { expect, test } from 'vitest';
import { runWithCache, sweep } from '../../src/patching/index.ts';
import { caseJob } from '../patching/support.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

const FOLDERS = {
  'blip-tiny': ['text_encoder.cross_attn.hook_z', 'text_encoder.hook_mlp_out'],
  'llava-tiny-gqa': ['language.attn.hook_z', 'language.hook_mlp_out'],
};

test.each(Object.entries(FOLDERS))('%s', async (folder, sites) => {
  const gpu = await testGpu({ deviceClass: 'gpu' });
  expect(gpu.capabilities.software).toBe(false);
  const model = await loadFixtureModel(folder, { gpu });
  const golden = await Golden.open(folder);
  const prefix = 'case0/clean/';
  const { logits, cache } = await runWithCache(model, [golden.sample('case0', 'clean')]);
  expectClose(logits?.[0] ?? [], golden.get(`${prefix}logits`).data, { ofMax: GOLDEN, name: 'logits' });
  let compared = 0;
  for (const full of golden.names(prefix)) {
    const name = full.slice(prefix.length);
    if (!cache.has(name)) continue;
    const { data, shape } = golden.get(full);
    expectClose(await cache.read(name), data, { ofMax: GOLDEN, name, shape });
    compared++;
  }
  cache.release();
  expect(compared).toBeGreaterThan(20);

  const job = caseJob(
    golden,
    'case0',
    sites.map((site) => ({ site, layers: [0, 1], positions: [1, 3] })),
  );
  const [together] = await sweep(model, [job], { repeat: 0 });
  const [alone] = await sweep(model, [job], { mode: 'one-by-one' });
  together?.sites.forEach(({ data, shape }, i) => {
    expectSameBits(data, alone?.sites[i]?.data ?? new Float32Array(0), { name: sites[i] ?? '', shape });
  });
  model.destroy();
});
