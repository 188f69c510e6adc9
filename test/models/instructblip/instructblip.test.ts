import { beforeAll, describe, expect, test } from 'vitest';
import {
  featurePlaces,
  loadModel,
  type Sample,
  type VisionLanguageModel,
} from '../../../src/models/index.ts';
import { paperConventions } from '../../../src/notice/conventions.ts';
import { readAttention, saveAttention } from '../../../src/notice/experiment/attention.ts';
import type { PreparedPair } from '../../../src/notice/experiment/prepare.ts';
import {
  runWithCache,
  runWithHooks,
  type SweepJob,
  type SweepResult,
  type SweepSite,
  sweep,
} from '../../../src/patching/index.ts';
import { nodeFolder } from '../../../src/platform/node/files.ts';
import { memorySource, readJson } from '../../../src/weights/index.ts';
import { expectClose, expectSameBits } from '../../support/close.ts';
import { folderWith, renamedWeights } from '../../support/folder.ts';
import { fixture, GOLDEN, Golden, type GoldenCase, loadFixtureModel } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';

const FOLDER = 'instructblip-tiny';
const QUERIES = 6;
const IMAGE = 443;

interface Case extends GoldenCase {
  readonly patch_positions: number[];
  readonly head_positions: number[];
  readonly vision_patch_positions?: number[];
  readonly vision_head_positions?: number[];
  readonly qformer_patch_positions: number[];
}

let golden: Golden;
let model: VisionLanguageModel;
beforeAll(async () => {
  golden = await Golden.open(FOLDER);
  model = await loadFixtureModel(FOLDER);
});

function job(id: string, sites: readonly SweepSite[]): SweepJob {
  const { mode, correct_token: correct, incorrect_token: incorrect } = caseOf(id);
  const [clean, corrupt] = [golden.sample(id, 'clean'), golden.sample(id, 'corrupt')];
  return {
    clean,
    corrupt: mode === 'text' ? { ...corrupt, images: clean.images } : corrupt,
    correct,
    incorrect,
    sites,
  };
}

function caseOf(id: string): Case {
  return golden.cases.find((c) => c.id === id) as Case;
}

describe('against Hugging Face', () => {
  test.each(['case0', 'case1', 'case2'])('every activation and the logits of %s', async (id) => {
    const lengths = { case0: 100, case1: 20, case2: 1 };
    for (const run of ['clean', 'corrupt'] as const) {
      const { logits, cache } = await runWithCache(model, [golden.sample(id, run)]);
      const prefix = `${id}/${run}/`;
      const names = golden
        .names(prefix)
        .map((full) => full.slice(prefix.length))
        .filter((name) => !/^(generate_logits|pixel_values.*|.*input_ids)$/.test(name));
      for (const name of names) {
        const { shape, data } = golden.get(prefix + name);
        expect(cache.get(name).shape, name).toEqual([1, ...shape]);
        expectClose(await cache.read(name), data, { ofMax: GOLDEN, name, shape });
      }
      expectSameBits(logits?.[0] as Float32Array, await cache.read('logits'));
      cache.release();
      expect(names.length).toBeGreaterThanOrEqual(run === 'clean' ? lengths[id as 'case0'] : 1);
    }
  });

  test.each(['case0', 'case1', 'case2'])('patches of %s in all towers', async (id) => {
    const { patch_positions: positions, head_positions, qformer_patch_positions } = caseOf(id);
    const { vision_patch_positions, vision_head_positions } = caseOf(id);
    const queries = qformer_patch_positions.filter((position) => position < QUERIES);
    const tables: Record<string, SweepSite> = {
      mlp_block: { site: 'language.hook_mlp_out', positions },
      attention_block: { site: 'language.attn.hook_z', positions },
      attention_block_heads: { site: 'language.attn.hook_z', positions: head_positions, heads: true },
      resid_block: { site: 'language.hook_resid_post', positions },
      qformer_output: { site: 'qformer.hook_normalized_resid_post', positions: qformer_patch_positions },
      qformer_attention_block: { site: 'qformer.attn.hook_z', positions: qformer_patch_positions },
      qformer_crossattention_block: { site: 'qformer.cross_attn.hook_z', positions: queries },
      qformer_crossattention_block_heads: {
        site: 'qformer.cross_attn.hook_z',
        positions: queries.slice(0, 1),
        heads: true,
      },
      ...(vision_patch_positions && {
        vision_mlp_block: { site: 'vision.hook_mlp_out', positions: vision_patch_positions },
        vision_attention_block: { site: 'vision.attn.hook_z', positions: vision_patch_positions },
        vision_resid_block: { site: 'vision.hook_resid_post', positions: vision_patch_positions },
      }),
      ...(vision_head_positions && {
        vision_attention_block_heads: {
          site: 'vision.attn.hook_z',
          positions: vision_head_positions,
          heads: true,
        },
      }),
    };
    const [result] = await sweep(model, [job(id, Object.values(tables))]);
    if (!result) throw new Error('no result');
    expect(Object.keys(tables).sort()).toEqual(
      golden
        .names(`${id}/patch/`)
        .map((name) => name.split('/')[2])
        .filter((name) => name !== 'baseline')
        .sort(),
    );
    Object.keys(tables).forEach((table, i) => {
      expectTable(result.sites[i]?.data ?? new Float32Array(), `${id}/patch_f64/${table}`);
    });
    const { pClean, pCorrupt, ldClean, ldCorrupt } = result.baseline;
    expectClose([pClean, pCorrupt, ldClean, ldCorrupt], golden.get(`${id}/patch_f64/baseline`).data, {
      ofMax: GOLDEN,
    });
    expect(result.controls).toMatchObject({ fullRestoration: true });
  });

  /**
   * Probabilities within 1e-4 of their column's largest. Effects of one vision position are as small as 0.01, and
   * the reference's own f32 effects up to 1e-5 off.
   */
  function expectTable(actual: Float32Array, name: string): void {
    const expected = golden.get(name).data;
    const column = (values: Float32Array, i: number) => values.filter((_, at) => at % 4 === i);
    const atol = GOLDEN * Math.max(...column(expected, 0));
    for (const i of [0, 1])
      expectClose(column(actual, i), column(expected, i), { atol, name: `${name} column ${i}` });
    const ofMax = /\/vision_/.test(name) ? 0 : GOLDEN;
    expectClose(column(actual, 2), column(expected, 2), { atol: 5e-5, ofMax, name: `${name} LD' − LD*` });
  }

  test('generation', async () => {
    for (const run of ['clean', 'corrupt'] as const) {
      const samples = golden.cases.map(({ id }) => golden.sample(id, run));
      const answers = await model.generate(samples, { maxNewTokens: 8, keepLogits: true });
      golden.cases.forEach(({ id, [run]: expected }, i) => {
        const { ids = [], logits = [], stopped } = answers[i] ?? {};
        expect(stopped ? [...ids, 2] : ids).toEqual(expected?.generated_ids);
        const { data, shape } = golden.get(`${id}/${run}/generate_logits`);
        const rows = Float32Array.from(logits.flatMap((row) => [...row]));
        expectClose(rows, data, { ofMax: GOLDEN, shape, name: id });
      });
    }
  });
});

test('every hook point is passed, with the shape that the table says', async () => {
  const sample = golden.sample('case0', 'clean');
  const { cache } = await runWithCache(model, [sample]);
  expect(cache.names).toEqual(model.hooks.map(({ name }) => name));
  for (const { name, shape } of model.hooks) {
    const tower = name.split('.')[0] as string;
    const lengths: Record<string, number> = {
      vision: model.imagePositions(sample.images),
      qformer: QUERIES + (sample.instruction?.length ?? 0),
    };
    const position = lengths[tower] ?? sample.ids.length;
    const sizes: Record<string, number> = {
      position,
      key: position,
      'memory position': model.imagePositions(sample.images),
    };
    const expected = shape.map((size) => sizes[size] ?? size);
    expect(cache.get(name).shape.slice(-shape.length), name).toEqual(expected);
  }
  cache.release();
});

test('a batch of unequal lengths gives each row what it gives alone, bit for bit', async () => {
  const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
  const together = await runWithHooks(model, samples, {});
  for (const [i, sample] of samples.entries()) {
    const [alone] = await runWithHooks(model, [sample], {});
    expectSameBits(together[i] as Float32Array, alone as Float32Array);
  }
});

describe('a sweep', () => {
  const numbers = (results: readonly SweepResult[]) =>
    Float32Array.from(results.flatMap(({ sites }) => sites.flatMap(({ data }) => [...data])));

  /** Every site of some towers at a few positions, one of them the last, whole and by heads. */
  function everySite(towers: readonly string[], layers: readonly number[], positions: number[]): SweepSite[] {
    return model.hooks
      .filter(({ name }) => towers.some((tower) => name.startsWith(`${tower}.blocks.${layers[0]}.`)))
      .flatMap(({ name }): SweepSite[] => {
        const site = name.replace(/blocks\.\d+\./, '');
        const whole = { site, layers, positions: [positions] };
        return /attn\.hook_[^a]/.test(site) ? [whole, { ...whole, heads: true }] : [whole];
      });
  }

  test.each([
    ['the image', (pair: SweepJob): SweepJob => pair, 'case0'],
    [
      'a word of both texts',
      ({ clean, ...pair }: SweepJob): SweepJob => ({ ...pair, clean, corrupt: otherWord(clean) }),
      'case1',
    ],
    ['texts of unequal length for the Q-Former', (pair: SweepJob): SweepJob => pair, 'case2'],
  ])('corrupt in %s: wavefront equals one by one, bit for bit', async (_, pairOf, id) => {
    const last = golden.sample(id, 'clean').ids.length - 1;
    // Patterns of unequal length cannot be exchanged.
    const exchangeable = ({ site }: SweepSite) =>
      id !== 'case2' || !/qformer\.attn\.hook_(pattern|attn_scores)/.test(site);
    const sites = [
      ...everySite(['vision'], [1], [3, 25]),
      ...everySite(['qformer'], [1], [4, 9]),
      ...everySite(['qformer'], [2], [2, 5]),
      ...everySite(['language'], [1], [4, 9, last]),
    ].filter(exchangeable);
    const jobs = [pairOf(job(id, sites))];
    const together = await sweep(model, jobs, { repeat: 0 });
    const split = id === 'case0' ? await sweep(model, jobs, { cellsPerWalk: 50, repeat: 0 }) : together;
    const apart = await sweep(model, jobs, { mode: 'one-by-one' });
    expectSameBits(numbers(together), numbers(apart));
    expectSameBits(numbers(split), numbers(apart));
    expect(together[0]?.baseline).toEqual(apart[0]?.baseline);
    const still = (together[0]?.sites ?? [])
      .filter(({ data }) => data.every((value, i) => i % 4 !== 2 || value === 0))
      .map(({ site }) => site);
    // Where only the text is corrupt, all that is of the image alone is not.
    const ofImage = sites
      .map(({ site }) => site)
      .filter((site) => /^vision|cross_attn\.hook_[kv]$/.test(site));
    expect(still).toEqual(id === 'case0' ? [] : ofImage);
  });

  /** One word replaced in the prompt and in the Q-Former's. */
  function otherWord(sample: Sample): Sample {
    const { ids, instruction = [] } = sample;
    return {
      ...sample,
      ids: ids.map((id, p) => (p === 10 ? 352 : id)),
      instruction: instruction.map((id, p) => (p === 4 ? (instruction[6] as number) : id)),
    };
  }

  test('words feed nothing in the last block, queries do', async () => {
    const [result] = await sweep(model, [
      job('case0', [{ site: 'qformer.hook_mlp_out', layers: [2], positions: [5, 6, 10] }]),
    ]);
    const effects = result?.sites[0]?.data.filter((_, i) => i % 4 === 2) ?? [];
    expect(effects[0]).not.toBe(0);
    expect([...effects.slice(1)]).toEqual([0, 0]);
  });

  test('cross-attention is in every second block, for the queries', async () => {
    const site = 'qformer.cross_attn.hook_z';
    const [result] = await sweep(model, [job('case0', [{ site }])]);
    expect(result?.sites[0]?.shape).toEqual([2, QUERIES, 4]);
    expect(result?.sites[0]?.layers).toEqual([0, 2]);
    await expect(sweep(model, [job('case0', [{ site, layers: [1] }])])).rejects.toThrow(
      /qformer\.cross_attn\.hook_z: block 1 has no such hook point, only 0, 2 have/,
    );
    await expect(sweep(model, [job('case0', [{ site, positions: [QUERIES] }])])).rejects.toThrow(
      /position 6 does not exist, there are 6/,
    );
  });
});

describe('prompts', () => {
  test('the image stands before <s>', () => {
    const { input_ids, expanded_input_ids } = caseOf('case0').clean as unknown as Record<string, number[]>;
    const { ids, positions } = model.expand(input_ids ?? []);
    expect(ids).toEqual(expanded_input_ids);
    expect(positions).toEqual((input_ids ?? []).map((_, p) => p + QUERIES));
    expect(model.expand(ids)).toEqual({ ids, positions: ids.map((_, p) => p) });
    expect(() => model.expand([1, IMAGE, 264])).toThrow(/holds the image token \(id 443\) 1 times/);
  });

  test.each<[string, Partial<Sample>, RegExp]>([
    ['none for the Q-Former', { instruction: undefined }, /lacks the one for its Q-Former/],
    ['too long for it', { instruction: new Array(65).fill(1) }, /65 tokens for the Q-Former, .* at most 64/],
    ['two images', { images: [] }, /reads one image with each prompt, found 0/],
  ])('%s', async (_, other, message) => {
    const sample = { ...golden.sample('case0', 'clean'), ...other };
    await expect(runWithHooks(model, [sample], {})).rejects.toThrow(message);
  });
});

describe('the paper’s experiment', () => {
  test('patches heads at words, and looks at the image through the queries', async () => {
    const { headSite, moduleSites, headPositions } = paperConventions(model);
    expect(headSite).toBe('language.attn.hook_z');
    expect(moduleSites).toEqual(['language.attn.hook_z', 'language.hook_mlp_out']);
    expect(headPositions).toEqual(['answer', 'last']);
    const clean = golden.sample('case0', 'clean');
    const sample = { pair: { id: 'a' } as PreparedPair['pair'], clean, answerPositions: [11] };
    const saved = memorySource(await saveAttention(model, [sample], 'last'), 'attention');
    const found = await readAttention(saved, 'a');
    // Two of three blocks attend to the image: 5 × 5 patches without the class token.
    expect(found).toMatchObject({ layers: 2, heads: 2, patches: 25 });
    const { shape, data } = golden.get('case0/clean/qformer.blocks.2.cross_attn.hook_pattern');
    const [, queries = 0, keys = 0] = shape;
    const mean = Array.from({ length: 25 }, (_, patch) => {
      const rows = Array.from(
        { length: queries },
        (_, q) => data[(queries + q) * keys + 1 + patch] as number,
      );
      return rows.reduce((sum, value) => sum + value, 0) / queries;
    });
    expectClose(found?.data.subarray(3 * 25, 4 * 25) ?? [], mean, { ofMax: GOLDEN });
    expect(featurePlaces(model, clean)).toEqual(new Map());
  });
});

describe('model folders', () => {
  const TINY = nodeFolder(fixture(FOLDER));
  const altered = async (files: Parameters<typeof folderWith>[0]) =>
    loadModel(await testGpu(), folderWith(files, await TINY));

  test('modules under another path', async () => {
    const other = await altered({
      'model.safetensors': await renamedWeights(await TINY, (name) =>
        name.startsWith('language_model.lm_head') ? 'lm_head.weight' : `model.${name}`,
      ),
    });
    const [logits] = await runWithHooks(other, [golden.sample('case0', 'clean')], {});
    const [own] = await runWithHooks(model, [golden.sample('case0', 'clean')], {});
    expectSameBits(logits as Float32Array, own as Float32Array);
    other.destroy();
  });

  test.each<[object, RegExp]>([
    [{ text_config: { model_type: 'opt' } }, /"model_type" should be one of llama, found "opt"/],
    [{ text_config: {} }, /without a model_type this is OPT/],
    [{ vision_config: { qkv_bias: false } }, /qkv_bias false is not supported/],
    [{ qformer_config: { position_embedding_type: 'relative_key' } }, /position_embedding_type/],
  ])('%j is refused', async (changes, message) => {
    const config = (await readJson(await TINY, 'config.json')) as object;
    await expect(altered({ 'config.json': { ...config, ...changes } })).rejects.toThrow(message);
  });
});
