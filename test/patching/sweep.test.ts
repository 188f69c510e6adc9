import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import { compatSite } from '../../src/notice/compat.ts';
import {
  type MeasuredCell,
  replace,
  runWithCache,
  runWithHooks,
  type SweepMode,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { expectClose } from '../support/close.ts';
import { GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { caseJob } from './support.ts';

/** The fixtures' kinds of patches and the sites that they are. */
const KINDS: Record<string, SweepSite> = {
  output: { site: 'text_encoder.hook_normalized_resid_post' },
  mlp_out: { site: 'text_encoder.hook_mlp_out' },
  attention_block: { site: 'text_encoder.attn.hook_z' },
  crossattention_block: { site: 'text_encoder.cross_attn.hook_z' },
  attention_block_heads: { site: 'text_encoder.attn.hook_z', heads: true },
  crossattention_block_heads: { site: 'text_encoder.cross_attn.hook_z', heads: true },
};

let golden: Golden;
let model: VisionLanguageModel;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
});

const job = (id: string, sites: readonly SweepSite[]) => caseJob(golden, id, sites);

describe.each(['case0', 'case1', 'case2', 'case3'])('%s against Hugging Face', (id) => {
  test('all kinds of patches in one wavefront', async () => {
    const [result] = await sweep(model, [job(id, Object.values(KINDS))]);
    if (!result) throw new Error('no result');
    const { pClean, pCorrupt, ldClean, ldCorrupt } = result.baseline;
    expectClose([pClean, pCorrupt, ldClean, ldCorrupt], golden.get(`${id}/patch/baseline`).data, {
      ofMax: GOLDEN,
    });
    Object.keys(KINDS).forEach((kind, i) => {
      const { shape, data } = golden.get(`${id}/patch/${kind}`);
      expect(result.sites[i]?.shape).toEqual(shape);
      expectClose(result.sites[i]?.data ?? [], data, { ofMax: GOLDEN, name: kind, shape });
    });
    expect(result.controls).toMatchObject({ nullPatches: 6, fullRestoration: true });
  });
});

test('mlp-is-layer-output: an MLP patch is one of the layer’s output', async () => {
  for (const { id } of golden.cases) {
    const site = { site: 'text_encoder.hook_mlp_out' };
    const [result] = await sweep(model, [job(id, [compatSite(model, site, ['mlp-is-layer-output'])])]);
    const { shape, data } = golden.get(`${id}/patch/output`);
    expect(result?.sites[0]?.shape).toEqual(shape);
    expectClose(result?.sites[0]?.data ?? [], data, { ofMax: GOLDEN, name: id, shape });
  }
});

test.each(['case0', 'case2'])('one by one gives the same bits (%s)', async (id) => {
  const sites: SweepSite[] = [
    { site: 'text_encoder.cross_attn.hook_z', heads: true, positions: [3, [4, 5]], layers: [0, 2] },
    { site: 'text_encoder.hook_mlp_out', positions: [0], layers: [1] },
  ];
  const results: Record<SweepMode, unknown> = { wavefront: 0, 'one-by-one': 0 };
  for (const mode of ['wavefront', 'one-by-one'] as const) {
    const [result] = await sweep(model, [job(id, sites)], { mode });
    results[mode] = result?.sites.map(({ data }) => data);
  }
  expect(results.wavefront).toEqual(results['one-by-one']);
});

test('tells the cells of every pair as their walks are done, and ends between two walks', async () => {
  const sites: SweepSite[] = [
    { site: 'text_encoder.cross_attn.hook_z', heads: true, positions: [3, [4, 5]] },
    { site: 'text_encoder.hook_mlp_out', positions: [0, 2], layers: [1, 0] },
  ];
  const jobs = ['case0', 'case2'].map((id) => job(id, sites));
  const options = { cellsPerWalk: 7, repeat: 0, controls: false };
  let walks = 0;
  const told = new Map<string, MeasuredCell>();
  const results = await sweep(model, jobs, {
    ...options,
    onCells(pair, cells) {
      walks++;
      expect(cells.length).toBeLessThanOrEqual(7);
      for (const cell of cells) told.set(`${pair} ${cell.site} ${cell.index}`, cell);
    },
  });
  expect(walks).toBeGreaterThanOrEqual(6);
  let cells = 0;
  results.forEach((result, pair) => {
    result.sites.forEach(({ layers, heads = 1, positions, data }, site) => {
      for (let index = 0; 4 * index < data.length; index++, cells++) {
        const cell = told.get(`${pair} ${site} ${index}`);
        expect(cell?.numbers).toEqual(data.slice(4 * index, 4 * index + 4));
        const row = Math.floor(index / positions.length);
        expect(cell).toMatchObject({
          layer: layers[Math.floor(row / heads)],
          positions: positions[index % positions.length],
        });
        expect(cell?.head).toBe(site === 0 ? row % heads : undefined);
      }
    });
  });
  expect(told.size).toBe(cells);

  const controller = new AbortController();
  let before = 0;
  const cancelled = sweep(model, jobs, {
    ...options,
    signal: controller.signal,
    onCells: () => {
      before++;
      controller.abort(new Error('enough'));
    },
  });
  await expect(cancelled).rejects.toThrow('enough');
  expect(before).toBe(1);
});

test('a site can take its value from another hook point, also of a later block', async () => {
  const base = job('case0', []);
  const source = 'text_encoder.blocks.2.hook_normalized_resid_post';
  const site: SweepSite = {
    site: 'text_encoder.hook_resid_pre',
    layers: [1],
    positions: [3, [4, 5]],
    source: () => source,
  };
  const { cache } = await runWithCache(model, [base.clean], { names: source });
  const logitsWith = async (positions: number[]) => {
    const target = { hook: 'text_encoder.blocks.1.hook_resid_pre', positions };
    const interventions = [replace(target, { cached: cache.get(source), positions })];
    const [logits] = await runWithHooks(model, [base.corrupt], { interventions });
    return logits as Float32Array;
  };
  for (const mode of ['wavefront', 'one-by-one'] as const) {
    const [result] = await sweep(model, [{ ...base, sites: [site] }], { mode });
    for (const [i, positions] of [[3], [4, 5]].entries()) {
      const patched = await logitsWith(positions);
      const difference = (logits: Float32Array) =>
        Math.fround((logits[base.correct] as number) - (logits[base.incorrect] as number));
      const effect = Math.fround(difference(patched) - difference(result?.logits.corrupt as Float32Array));
      expect(effect).not.toBe(0);
      expect(result?.sites[0]?.data[4 * i + 2]).toBe(effect);
    }
  }
  cache.release();
  const wrong = { ...site, source: () => 'text_encoder.blocks.1.mlp.hook_post' };
  await expect(sweep(model, [{ ...base, sites: [wrong] }])).rejects.toThrow(
    /features, the source .*mlp\.hook_post has/,
  );
  const unknown = { ...site, source: () => 'text_encoder.blocks.9.hook_mlp_out' };
  await expect(sweep(model, [{ ...base, sites: [unknown] }])).rejects.toThrow(/unknown hook point/);
});
