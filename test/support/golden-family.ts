// What the tests of a family share: activations, logits, answers and patch tables of a fixture's folder, made by Hugging Face's
// implementation, and sweeps that give the same bits in one walk as one by one.

import { beforeAll, describe, expect, test } from 'vitest';
import { argmax } from '../../src/models/generation.ts';
import { Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import {
  runWithCache,
  runWithHooks,
  type SweepJob,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { expectClose, expectSameBits } from './close.ts';
import { fixture, GOLDEN, Golden, type GoldenRun, loadFixtureModel } from './golden.ts';
import { Random } from './random.ts';

/** float32 itself is up to 1e-5 away from the float64 of the patch tables; effects of one patch are as small as 0.01. */
const PATCH = 5e-5;

/** Tensors of a run that are no hook points. */
const INPUTS = /^(pixel_values|.*_ids|image_|generate_logits|rope_delta|window_index|cu_window)/;

const SIDES = ['clean', 'corrupt'] as const;

export interface Family {
  /** Folder in test/fixtures. */
  readonly folder: string;
  /** Patch tables beside those of blocks, by name. */
  readonly tables?: Readonly<Record<string, (layers: readonly number[]) => SweepSite>>;
  /** Vision blocks and positions that the features are made of; default all. */
  readonly seen?: { readonly blocks: number; readonly positions: readonly [first: number, end: number] };
  /** Patch tables that the family compares by itself, since they are of no site of blocks. */
  readonly otherTables?: readonly string[];
  /** Activations that the clean run of every case of kind `all` has at least. */
  readonly activations: number;
}

/** What a test of the family works with; filled before the tests run. */
export interface Opened {
  golden: Golden;
  model: VisionLanguageModel;
}

/** Runs all of the tests below for a folder. */
export function testFamily(family: Family, more: (opened: Opened) => void = () => {}): void {
  describe(family.folder, () => {
    const opened = {} as Opened;
    beforeAll(async () => {
      opened.golden = await Golden.open(family.folder);
      opened.model = await loadFixtureModel(family.folder);
    });
    testActivations(family, opened);
    testAnswers(opened);
    testPatches(family, opened);
    testExactness(family, opened);
    more(opened);
  });
}

function testActivations({ activations }: Family, opened: Opened): void {
  test('every activation', async () => {
    const { golden, model } = opened;
    for (const { id, activations: kind } of golden.cases) {
      for (const run of SIDES) {
        const prefix = `${id}/${run}/`;
        const names = golden
          .names(prefix)
          .map((full) => full.slice(prefix.length))
          .filter((name) => !INPUTS.test(name));
        const { logits, cache } = await runWithCache(model, [golden.sample(id, run)]);
        for (const name of names) {
          const { shape, data } = golden.get(prefix + name);
          expect(cache.get(name).shape, prefix + name).toEqual([1, ...shape]);
          expectClose(await cache.read(name), data, { ofMax: GOLDEN, name: prefix + name, shape });
        }
        expectSameBits(logits?.[0] as Float32Array, await cache.read('logits'));
        cache.release();
        expect(names.length).toBeGreaterThanOrEqual(kind === 'all' && run === 'clean' ? activations : 1);
      }
    }
  });

  test('every hook point is passed in the order of the table, with its shape', async () => {
    const { golden, model } = opened;
    const { cache } = await runWithCache(model, [golden.sample('case0', 'clean')]);
    expect(cache.names).toEqual(model.hooks.map(({ name }) => name));
    for (const { name, shape } of model.hooks) {
      const actual = cache.get(name).shape.slice(1);
      expect(actual, name).toEqual(shape.map((size, i) => (typeof size === 'number' ? size : actual[i])));
    }
    cache.release();
  });

  test('nobody looking changes no bit, nor what stands beside in the batch', async () => {
    const { golden, model } = opened;
    const samples = golden.cases.map(({ id }) => golden.sample(id, 'clean'));
    const used = model.gpu.pool.statistics.usedBytes;
    const together = await runWithHooks(model, samples, {});
    for (const [i, sample] of samples.entries()) {
      const { logits, cache } = await runWithCache(model, [sample]);
      cache.release();
      expectSameBits(together[i] as Float32Array, logits?.[0] as Float32Array);
    }
    expect(model.gpu.pool.statistics.usedBytes).toBe(used);
  });
}

function testAnswers(opened: Opened): void {
  test('answers, token by token', async () => {
    const { golden, model } = opened;
    const wanted = golden.cases.flatMap(({ id, ...one }) =>
      SIDES.map((run) => ({ id, run, of: one[run] as GoldenRun })),
    );
    const samples = wanted.map(({ id, run }) => golden.sample(id, run));
    const longest = Math.max(...wanted.map(({ of }) => of.generated_ids.length));
    const answers = await model.generate(samples, { maxNewTokens: longest, keepLogits: true });
    wanted.forEach(({ id, run, of }, i) => {
      const { ids = [], logits = [] } = answers[i] ?? {};
      const { shape, data } = golden.get(`${id}/${run}/generate_logits`);
      const [steps, vocabulary] = shape as [number, number];
      for (let step = 0; step < steps; step++) {
        const name = `${id}/${run}: logits of token ${step}`;
        const row = logits[step] as Float32Array;
        expectClose(row, data.subarray(step * vocabulary, (step + 1) * vocabulary), { ofMax: GOLDEN, name });
        expect(argmax(row), name).toBe(of.generated_ids[step]);
      }
      expect(of.generated_ids.slice(0, ids.length), `${id}/${run}`).toEqual(ids);
    });
  });
}

/** Flat positions of a tower: numbers, or pairs of tile and position. */
function flat(positions: unknown, tile: number): number[] {
  return (positions as (number | [number, number])[]).map((one) =>
    typeof one === 'number' ? one : one[0] * tile + one[1],
  );
}

export function familyJob({ golden }: Opened, id: string, sites: readonly SweepSite[]): SweepJob {
  const { mode, correct_token: correct, incorrect_token: incorrect } = golden.case(id);
  const clean = golden.sample(id, 'clean');
  const corrupt = golden.sample(id, 'corrupt');
  const images = mode === 'text' ? clean.images : corrupt.images;
  return { clean, corrupt: { ...corrupt, images }, correct, incorrect, sites };
}

/** The site that a patch table was made at. */
function siteOf(table: string): { site: string; heads?: true } {
  const tower = table.startsWith('vision_') ? 'vision' : 'language';
  const kind = table.replace(/^vision_/, '');
  const sites: Record<string, { site: string; heads?: true }> = {
    mlp_block: { site: `${tower}.hook_mlp_out` },
    resid_block: { site: `${tower}.hook_resid_post` },
    attention_block: { site: `${tower}.attn.hook_z` },
    attention_block_heads: { site: `${tower}.attn.hook_z`, heads: true },
  };
  const found = sites[kind];
  if (!found) throw new Error(`no site for the patch table ${table}`);
  return found;
}

function testPatches({ tables: special = {}, otherTables = [] }: Family, opened: Opened): void {
  test('patch tables', async () => {
    const { golden, model } = opened;
    let compared = 0;
    for (const one of golden.cases) {
      const { id, corrupt } = one;
      if (!corrupt) continue;
      const prefix = `${id}/patch_f64/`;
      const tables = golden
        .names(prefix)
        .map((name) => name.slice(prefix.length))
        .filter((name) => name !== 'baseline' && !otherTables.includes(name));
      const sites = tables.map((table): SweepSite => {
        const { shape } = golden.get(prefix + table);
        const layers = Array.from({ length: shape[0] as number }, (_, layer) => layer);
        if (special[table]) return special[table](layers);
        const ofVision = table.startsWith('vision_');
        const { images } = golden.sample(id, 'clean');
        const tiles = golden.get(`${id}/clean/pixel_values`).shape[0] as number;
        const key = `${ofVision ? 'vision_' : ''}${table.endsWith('_heads') ? 'head' : 'patch'}_positions`;
        const positions = flat(one[key], model.imagePositions(images) / tiles);
        return { ...siteOf(table), layers, positions };
      });
      const [result] = await sweep(model, [familyJob(opened, id, sites)]);
      tables.forEach((table, i) => {
        const { shape, data } = golden.get(prefix + table);
        const actual = result?.sites[i]?.data ?? new Float32Array();
        expect(result?.sites[i]?.shape, table).toEqual(shape);
        const column = (values: Float32Array, c: number) => values.filter((_, at) => at % 4 === c);
        const largest = Math.max(...column(data, 0));
        const name = `${id} ${table}`;
        for (const c of [0, 1])
          expectClose(column(actual, c), column(data, c), { atol: GOLDEN * largest, name });
        expectClose(column(actual, 2), column(data, 2), { atol: PATCH, name });
        compared++;
      });
      const { pClean, pCorrupt, ldClean, ldCorrupt } = result?.baseline ?? {};
      const baseline = golden.get(`${prefix}baseline`).data;
      expectClose([pClean, pCorrupt, ldClean, ldCorrupt] as number[], baseline, { ofMax: GOLDEN });
      expect(result?.controls).toMatchObject({ fullRestoration: true });
    }
    expect(compared).toBeGreaterThan(0);
  });
}

/**
 * Every site of a tower, whole and by heads, at random blocks and positions where clean and corrupt run differ.
 *
 * @param first the first position that may be patched
 */
export function everySite(
  model: VisionLanguageModel,
  tower: string,
  [first, length]: readonly [number, number],
  random: Random,
  blocks = model.configs.find(({ name }) => name === tower)?.layers ?? 0,
): SweepSite[] {
  const position = () => first + random.integer(length - first);
  return model.hooks
    .filter(({ name }) => name.startsWith(`${tower}.blocks.0.`))
    .flatMap(({ name }): SweepSite[] => {
      const site = name.replace('.blocks.0', '');
      // In the first block, equal patches and tokens have equal values.
      const layers = [blocks > 1 ? 1 + random.integer(blocks - 1) : 0];
      const group = [...new Set([position(), length - 1])];
      const whole = { site, layers, positions: [position(), group] };
      return /attn\.hook_(?!attn_scores|out$)/.test(site)
        ? [whole, { site, layers, positions: [group], heads: true }]
        : [whole];
    });
}

/** Fails unless a sweep gives the same bits one by one, and every site has an effect. */
export async function expectSameOneByOne(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
): Promise<void> {
  const wavefront = await sweep(model, jobs);
  const oneByOne = await sweep(model, jobs, { mode: 'one-by-one' });
  wavefront.forEach(({ sites }, pair) => {
    sites.forEach(({ site, layers, shape, data }, i) => {
      expectSameBits(oneByOne[pair]?.sites[i]?.data ?? new Float32Array(), data, { name: site, shape });
      // Bits of patches that do nothing would say nothing.
      const effects = data.filter((_, at) => at % 4 === 2);
      expect(
        effects.some((effect) => effect !== 0),
        `${site}, block ${layers}`,
      ).toBe(true);
    });
  });
}

function testExactness({ seen }: Family, opened: Opened): void {
  const firstOf = (mode: string) =>
    opened.golden.cases.find((one) => one.mode === mode && one.corrupt)?.id as string;

  test('every site of the language model gives the same bits one by one, image and text corrupt', async () => {
    const { golden, model } = opened;
    const random = new Random(7);
    const jobs = ['image', 'text'].map((mode) => {
      const id = firstOf(mode);
      const clean = golden.sample(id, 'clean').ids;
      const corrupt = golden.sample(id, 'corrupt').ids;
      const differs =
        mode === 'text'
          ? clean.findIndex((token, p) => token !== corrupt[p])
          : clean.indexOf(model.imageToken ?? -1);
      return familyJob(opened, id, everySite(model, 'language', [differs, clean.length], random));
    });
    await expectSameOneByOne(model, jobs);
  });

  test('every site of the vision tower gives the same bits one by one', async () => {
    const { golden, model } = opened;
    const id = firstOf('image');
    const length = model.imagePositions(golden.sample(id, 'clean').images);
    const sites = everySite(model, 'vision', seen?.positions ?? [0, length], new Random(8), seen?.blocks);
    await expectSameOneByOne(model, [familyJob(opened, id, sites)]);
  });
}

/** The folder's own processor: texts of the cases to the tokens that the model reads. */
export function testPrompts(folder: string, opened: Opened): void {
  test('prompts, with room for their images', async () => {
    const { golden, model } = opened;
    const processor = await Processor.load(model, nodeFolder(fixture(folder)));
    for (const one of golden.cases)
      for (const run of SIDES) {
        const { text, expanded_input_ids: expected } = one[run] as GoldenRun;
        const { images } = golden.sample(one.id, run);
        const { encoded, ids, positions } = processor.prompt(text, images);
        expect(ids, `${one.id} ${run}`).toEqual(expected);
        // Tokens of the text stand where they say.
        encoded.ids.forEach((id, i) => {
          if (
            !processor.imageTokens.includes(encoded.tokens[i] as string) &&
            id === ids[positions[i] as number]
          )
            return;
          expect(encoded.tokens[i], `${one.id} ${run}: token ${i}`).toMatch(/image|^\n+$/);
        });
      }
  });
}
