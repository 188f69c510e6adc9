import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import { type CompatSwitch, compatSite } from '../../src/notice/compat.ts';
import {
  planSweep,
  type SweepJob,
  type SweepOptions,
  type SweepResult,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { GOLDEN, Golden, type GoldenCase, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';

interface LlavaCase extends GoldenCase {
  readonly patch_positions: number[];
  readonly head_positions: number[];
  readonly image_token_position: number;
}

describe.each(['llava-tiny', 'llava-tiny-gqa'])('%s', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
  });

  function caseOf(id: string): LlavaCase {
    return golden.cases.find((c) => c.id === id) as LlavaCase;
  }

  function job(id: string, sites: readonly SweepSite[]): SweepJob {
    const { mode, correct_token, incorrect_token } = caseOf(id);
    const clean = golden.sample(id, 'clean');
    const corrupt = golden.sample(id, 'corrupt');
    return {
      clean,
      corrupt: mode === 'text' ? { ...corrupt, images: clean.images } : corrupt,
      correct: correct_token,
      incorrect: incorrect_token,
      sites,
    };
  }

  describe.each(['case0', 'case1', 'case2', 'case3'])('%s against Hugging Face', (id) => {
    async function compare(kinds: Record<string, SweepSite>, compat: CompatSwitch[]): Promise<SweepResult> {
      const [result] = await sweep(model, [
        job(
          id,
          Object.values(kinds).map((site) => compatSite(model, site, compat)),
        ),
      ]);
      if (!result) throw new Error('no result');
      Object.keys(kinds).forEach((kind, i) => {
        const { shape, data } = golden.get(`${id}/patch/${kind}`);
        expect(result.sites[i]?.shape).toEqual(shape);
        expectClose(result.sites[i]?.data ?? [], data, { ofMax: GOLDEN, name: kind, shape });
      });
      return result;
    }

    test('modules and heads in one wavefront', async () => {
      const { patch_positions: positions, head_positions } = caseOf(id);
      const { baseline, controls } = await compare(
        {
          mlp_block: { site: 'language.hook_mlp_out', positions },
          attention_block: { site: 'language.attn.hook_z', positions },
          attention_block_heads: { site: 'language.attn.hook_z', positions: head_positions, heads: true },
        },
        [],
      );
      const { pClean, pCorrupt, ldClean, ldCorrupt } = baseline;
      expectClose([pClean, pCorrupt, ldClean, ldCorrupt], golden.get(`${id}/patch/baseline`).data, {
        ofMax: GOLDEN,
      });
      expect(controls).toMatchObject({ nullPatches: 3, fullRestoration: true });
    });

    test("as the paper's released code: the layer's output into the module", async () => {
      const { patch_positions: positions } = caseOf(id);
      await compare(
        {
          notice_code_mlp_block: { site: 'language.hook_mlp_out', positions },
          notice_code_attention_block: { site: 'language.attn.hook_z', positions },
        },
        ['residual-into-module'],
      );
    });
  });

  test('layer outputs for modules are in the plan: the split changes no bit', async () => {
    const { patch_positions: positions } = caseOf('case2');
    const released = (site: SweepSite) => compatSite(model, site, ['residual-into-module']);
    const jobs = [job('case2', [released({ site: 'language.hook_mlp_out', positions })])];
    const { gpu } = model;
    const take = async (options: SweepOptions) => {
      const plan = await planSweep(model, jobs, options);
      gpu.pool.resetPeak();
      const before = gpu.statistics.dispatches;
      const used = gpu.pool.statistics.usedBytes;
      const results = await sweep(model, jobs, { ...options, repeat: 0 });
      expect(gpu.statistics.dispatches - before).toBe(plan.dispatches);
      expect(gpu.pool.statistics.peakUsedBytes - used).toBe(plan.peakBytes);
      return { plan, results };
    };
    const whole = await take({});
    const split = await take({ cellsPerWalk: 2 });
    expect(split.plan.walks).toBeGreaterThan(whole.plan.walks);
    compareBits(split.results, whole.results);
    compareBits(await sweep(model, jobs, { mode: 'one-by-one' }), whole.results);
    // Of a block that none of the cells is in nothing is kept.
    const peak = async (layers: number[]) => {
      const site = { site: 'language.hook_mlp_out', positions: [positions[0] as number], layers };
      const [of, without] = await Promise.all([
        planSweep(model, [job('case2', [released(site)])], { controls: false }),
        planSweep(model, [job('case2', [site])], { controls: false }),
      ]);
      return of.dispatches - without.dispatches;
    };
    expect(await peak([0])).toBeLessThan(await peak([2]));
  });

  /** Every site of a tower at random blocks and positions, whole and by heads, where clean and corrupt run differ. */
  function everySite(tower: 'vision' | 'language', id: string, random: Random): SweepSite[] {
    const { ids } = golden.sample(id, 'clean');
    const { image_token_position, mode } = caseOf(id);
    const corrupt = golden.sample(id, 'corrupt').ids;
    const differs =
      mode === 'text' ? ids.findIndex((token, p) => token !== corrupt[p]) : image_token_position;
    const [first, length] =
      tower === 'vision' ? [1, model.imagePositions([model.blankImage()])] : [differs, ids.length];
    const position = () => first + random.integer(length - first);
    const blocks = model.configs.find(({ name }) => name === tower)?.layers ?? 0;
    // In the first block, equal patches and tokens have equal values; the last block of CLIP feeds nothing.
    const count = tower === 'vision' ? blocks - 2 : blocks - 1;
    return model.hooks
      .filter(({ name }) => name.startsWith(`${tower}.blocks.0.`))
      .flatMap(({ name }): SweepSite[] => {
        const site = name.replace('.blocks.0', '');
        const layers = [1 + random.integer(count)];
        const whole = { site, layers, positions: [position(), [...new Set([position(), length - 1])]] };
        return /attn\.hook_[^a]/.test(site)
          ? [whole, { site, layers, positions: [[...new Set([position(), length - 1])]], heads: true }]
          : [whole];
      });
  }

  async function expectSameOneByOne(jobs: readonly SweepJob[]): Promise<void> {
    const wavefront = await sweep(model, jobs);
    compareBits(await sweep(model, jobs, { mode: 'one-by-one' }), wavefront);
    // Bits of patches that do nothing would say nothing.
    for (const { site, layers, data } of wavefront.flatMap(({ sites }) => sites))
      expect(
        data.some((value, i) => i % 4 === 2 && value !== 0),
        `${site}, block ${layers}`,
      ).toBe(true);
  }

  function compareBits(actual: readonly SweepResult[], expected: readonly SweepResult[]): void {
    expected.forEach(({ sites }, pair) => {
      sites.forEach(({ site, shape, data }, i) => {
        expectSameBits(actual[pair]?.sites[i]?.data ?? new Float32Array(), data, { name: site, shape });
      });
    });
  }

  test('every site of LLaMA gives the same bits one by one, image and text corrupt', async () => {
    const random = new Random(7);
    await expectSameOneByOne(['case0', 'case2'].map((id) => job(id, everySite('language', id, random))));
  });

  test('every site of CLIP gives the same bits one by one', async () => {
    await expectSameOneByOne([job('case0', everySite('vision', 'case0', new Random(8)))]);
  });

  test('noise on image embeddings: the same bits one by one', async () => {
    const random = new Random(9);
    const noise = (hook: string, sites: readonly SweepSite[]): SweepJob => {
      const { width } = model.configs[hook.startsWith('vision') ? 0 : 1] as { width: number };
      const clean = golden.sample('case0', 'clean');
      return { ...job('case0', sites), corrupt: clean, noise: { hook, values: random.vector(width) } };
    };
    const few = (sites: readonly SweepSite[]) =>
      random
        .permutation(sites.length)
        .slice(0, 5)
        .map((i) => sites[i] as SweepSite);
    await expectSameOneByOne([
      noise('vision.hook_embed', [
        ...few(everySite('vision', 'case0', random)),
        ...few(everySite('language', 'case0', random)),
      ]),
      noise('projector.hook_out', few(everySite('language', 'case0', random))),
    ]);
  });

  test('the split into walks changes no bit', async () => {
    const random = new Random(10);
    const jobs = ['case0', 'case2'].map((id) => job(id, everySite('language', id, random)));
    const whole = await sweep(model, jobs, { repeat: 0 });
    for (const cellsPerWalk of [1 + random.integer(9), 10 + random.integer(90)])
      compareBits(await sweep(model, jobs, { repeat: 0, cellsPerWalk }), whole);
  });
});
