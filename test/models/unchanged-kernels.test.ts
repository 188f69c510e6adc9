// BLIP and LLaVA run the kernels that they have always run: a setting that one of them does not use may not change a byte of
// its WGSL, so that nothing gets slower by what other families need. Who changes a kernel on purpose writes the table anew
// (vitest -u) and measures.

import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { CountedWork } from '../../src/gpu/counted-work.ts';
import type { Capabilities, KernelSource } from '../../src/gpu/index.ts';
import { ModelRun, NO_PROBE, type Probe } from '../../src/models/index.ts';
import { siteCells } from '../../src/patching/cells.ts';
import { CellWalk } from '../../src/patching/walk-cells.ts';
import { caseJob } from '../patching/support.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

/** What kernels go by: everything else is the adapter's at hand. */
const DEVICES: Readonly<Record<string, Partial<Capabilities>>> = {
  'software with 4 lanes': { software: true, subgroupSize: 4, subgroupMatrix: undefined, tuning: {} },
  'software without subgroups': { software: true, subgroupSize: 0, subgroupMatrix: undefined, tuning: {} },
  'a GPU': { software: false, subgroupSize: 32, subgroupMatrix: undefined, tuning: {} },
};

const SITES = {
  'blip-tiny': ['text_encoder.cross_attn.hook_z', 'text_encoder.hook_mlp_out', 'text_encoder.attn.hook_k'],
  'llava-tiny': ['language.attn.hook_z', 'language.hook_mlp_out', 'language.attn.hook_q'],
  'llava-tiny-gqa': ['language.attn.hook_z'],
};

/** Looks at every hook point, so that nothing is fused; what is only made for those who ask is none. */
const LOOKER: Probe = { wants: (name) => !name.endsWith('hook_result'), forks: () => [], visit: () => {} };

/** First digits of the SHA-256 of every kernel's WGSL, by its name and the kind of device. */
async function digestsOf(folder: keyof typeof SITES): Promise<string[]> {
  const { capabilities } = await testGpu();
  const model = await loadFixtureModel(folder);
  const golden = await Golden.open(folder);
  const sample = golden.sample('case0', 'clean');
  const job = caseJob(
    golden,
    'case0',
    SITES[folder].map((site) => ({ site })),
  );
  const cells = job.sites.flatMap((site, i) => siteCells(model, job, 0, site, i).cells);
  const lines: string[] = [];
  for (const [device, traits] of Object.entries(DEVICES)) {
    const kernels = new Set<KernelSource>();
    const work = () => new CountedWork({ ...capabilities, ...traits }, 2 ** 27, (k) => kernels.add(k));
    for (const probe of [NO_PROBE, LOOKER]) await model.forward(work(), [new ModelRun(sample)], { probe });
    await CellWalk.record(work(), model, [job], cells, { mode: 'wavefront', controls: true });
    for (const { name, enable, code } of kernels) {
      const text = [...(enable ?? []), code].join('\n');
      const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
      lines.push(`${folder} · ${device} · ${name}: ${digest}`);
    }
  }
  model.destroy();
  return [...new Set(lines)].sort();
}

test('the WGSL of BLIP and LLaVA is what it was', async () => {
  const lines: string[] = [];
  for (const folder of Object.keys(SITES) as (keyof typeof SITES)[]) lines.push(...(await digestsOf(folder)));
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('../fixtures/unchanged-kernels.txt');
});
