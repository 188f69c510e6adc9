// A sweep's cells have the bits of full forward passes, whatever is patched together. Random plans over all sites of all
// towers; a plan that fails is printed, and with it run again.

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ImageInput, Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  add,
  hooks,
  noImage,
  replace,
  runWithCache,
  runWithHooks,
  type SweepJob,
  type SweepResult,
  type SweepSite,
  sweep,
} from '../../src/patching/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';

const SEED = 20260705;

let golden: Golden;
let model: VisionLanguageModel;
let clean: Sample;
let otherImage: ImageInput;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  clean = golden.sample('case0', 'clean');
  otherImage = golden.image('case0', 'corrupt');
});

const TOWERS = ['vision', 'text_encoder', 'text_decoder'] as const;
const LENGTH = 10;
const IMAGE_POSITIONS = 37;

/** A sweep as plain data. Numbers stand for choices among what exists. */
interface Plan {
  readonly jobs: readonly {
    readonly corruption:
      | 'image'
      | 'text'
      | 'both'
      | 'noise in the image'
      | 'noise at its end'
      | 'noise in the text'
      | 'no image'
      | 'no image, other text';
    readonly sites: readonly {
      readonly tower: (typeof TOWERS)[number];
      readonly kind: number;
      readonly layers: readonly number[];
      readonly byHead: boolean;
      readonly positions: readonly (readonly number[])[];
    }[];
  }[];
  readonly cellsPerWalk: number;
}

function plans({ jobs, sites, groups }: { jobs: number; sites: number; groups: number }): fc.Arbitrary<Plan> {
  const site = fc.record({
    tower: fc.constantFrom(...TOWERS),
    kind: fc.nat(1000),
    layers: fc.uniqueArray(fc.nat(2), { minLength: 1, maxLength: 2 }),
    byHead: fc.boolean(),
    positions: fc.array(fc.uniqueArray(fc.nat(1000), { minLength: 1, maxLength: 3 }), {
      minLength: 1,
      maxLength: groups,
    }),
  });
  const job = fc.record({
    corruption: fc.constantFrom<Plan['jobs'][number]['corruption']>(
      'image',
      'text',
      'both',
      'noise in the image',
      'noise at its end',
      'noise in the text',
      'no image',
      'no image, other text',
    ),
    sites: fc.array(site, { minLength: 1, maxLength: sites }),
  });
  return fc.record({
    jobs: fc.array(job, { minLength: 1, maxLength: jobs }),
    cellsPerWalk: fc.constantFrom(3, 10, 1000, 1000),
  });
}

/** Sites of a tower, without the block. */
function sitesOf(tower: string): string[] {
  const prefix = `${tower}.blocks.0.`;
  return hooks(model).flatMap(({ name }) =>
    name.startsWith(prefix) ? [`${tower}.${name.slice(prefix.length)}`] : [],
  );
}

function siteOf({
  tower,
  kind,
  layers,
  byHead,
  positions,
}: Plan['jobs'][number]['sites'][number]): SweepSite {
  const sites = sitesOf(tower);
  const site = sites[kind % sites.length] as string;
  const own = { vision: IMAGE_POSITIONS, text_encoder: LENGTH, text_decoder: 1 }[tower];
  const memory = tower === 'text_encoder' ? IMAGE_POSITIONS : LENGTH;
  const length = /cross_attn\.hook_[kv]$/.test(site) ? memory : own;
  return {
    site,
    layers,
    ...(byHead && /attn\.hook_/.test(site) ? { heads: true } : {}),
    positions: positions.map((group) => [...new Set(group.map((p) => p % length))]),
  };
}

/** Jobs that share the clean sample, and with it what they have in common. */
function jobsOf({ jobs }: Plan): SweepJob[] {
  const ids = clean.ids.map((id, p) => (p === 5 || p === 7 ? (clean.ids[12 - p] as number) : id));
  return jobs.map(({ corruption, sites }, i): SweepJob => {
    const noise = (hook: string, rows: number) => ({
      noise: { hook, values: new Random(i).vector(rows * 40, { spread: 0.5 }) },
    });
    const made = {
      image: () => ({ corrupt: { ...clean, images: [otherImage] } }),
      text: () => ({ corrupt: { ...clean, ids } }),
      both: () => ({ corrupt: { images: [otherImage], ids } }),
      'noise in the image': () => ({ corrupt: clean, ...noise('vision.hook_embed', IMAGE_POSITIONS) }),
      'noise at its end': () => ({
        corrupt: { ...clean, images: [otherImage] },
        ...noise('vision.hook_out', 1),
      }),
      'noise in the text': () => ({
        corrupt: { ...clean, ids },
        ...noise('text_encoder.hook_embed', LENGTH),
      }),
      'no image': () => ({ corrupt: clean, noImage: true }),
      'no image, other text': () => ({ corrupt: { ...clean, ids }, noImage: true }),
    };
    return { clean, correct: 94, incorrect: 93, sites: sites.map(siteOf), ...made[corruption]() };
  });
}

/** Cells of a result in its order, as interventions on a run. */
function cellsOf({ sites }: SweepResult): { hook: string; positions: readonly number[]; heads?: number[] }[] {
  return sites.flatMap(({ site, layers, heads, positions }) => {
    const [tower, ...hook] = site.split('.');
    return layers.flatMap((layer) =>
      (heads === undefined ? [undefined] : Array.from({ length: heads }, (_, h) => h)).flatMap((head) =>
        positions.map((group) => ({
          hook: `${tower}.blocks.${layer}.${hook.join('.')}`,
          positions: group,
          ...(head === undefined ? {} : { heads: [head] }),
        })),
      ),
    );
  });
}

const numbers = (result: SweepResult) => Float32Array.from(result.sites.flatMap(({ data }) => [...data]));

function checkControls(results: readonly SweepResult[], jobs: readonly SweepJob[]) {
  results.forEach(({ controls }, i) => {
    // One for every site, and again in every walk that the site is split over.
    expect(controls?.nullPatches).toBeGreaterThanOrEqual(jobs[i]!.sites.length);
    expect(controls?.fullRestoration).toBe(true);
    expect(controls?.noiseFloor).toBeLessThan(1e-4);
  });
}

/** Compares cells with whole runs of one batch, which have nothing in common. Returns the hook points compared. */
async function checkAgainstWholeRuns(
  results: readonly SweepResult[],
  jobs: readonly SweepJob[],
): Promise<string[]> {
  const compared: string[] = [];
  for (const [i, result] of results.entries()) {
    const job = jobs[i] as SweepJob;
    const cells = cellsOf(result);
    const names = [...new Set(cells.map(({ hook }) => hook))];
    const { cache } = await runWithCache(model, [clean], { names });
    // Row 0 is the corrupt run, the others are patched.
    const logits = await runWithHooks(model, Array(cells.length + 1).fill(job.corrupt), {
      interventions: [
        ...(job.noise ? [add({ hook: job.noise.hook }, { values: job.noise.values })] : []),
        ...(job.noImage ? noImage(model, job.corrupt) : []),
        ...cells.map((cell, c) => replace({ ...cell, run: c + 1 }, { cached: cache.get(cell.hook) })),
      ],
    });
    cache.release();
    expectSameBits(result.logits.corrupt, logits[0]!, { name: 'corrupt logits' });
    const difference = (row: Float32Array) => Math.fround(row[94]! - row[93]!);
    const [own, corrupt] = [difference(result.logits.clean), difference(logits[0]!)];
    const found = numbers(result);
    cells.forEach((cell, c) => {
      const name = JSON.stringify({ job: i, ...cell });
      const effect = Math.fround(difference(logits[c + 1]!) - corrupt);
      if (!Object.is(found[4 * c + 2], effect))
        throw new Error(`${name}: LD' − LD* is ${found[4 * c + 2]}, by itself ${effect}`);
      const p = probability(logits[c + 1]!);
      const expected = [p, p - probability(logits[0]!), effect, effect / Math.fround(own - corrupt)];
      // exp and division of f32 differ a little from the host's.
      expectClose(found.subarray(4 * c, 4 * c + 4), expected, { rtol: 1e-5, atol: 1e-6, name });
      compared.push(cell.hook);
    });
  }
  return compared;
}

function probability(row: Float32Array): number {
  const largest = Math.max(...row);
  const total = row.reduce((sum, x) => sum + Math.exp(x - largest), 0);
  return Math.exp(row[94]! - largest) / total;
}

/** Fixed seed; the first plan that fails is printed as it is, as smaller ones take too long to find. */
const RUN_PLANS = {
  seed: SEED,
  endOnFailure: true,
  interruptAfterTimeLimit: 100_000,
  markInterruptAsFailure: true,
};

describe('random plans', () => {
  test('equal as many whole runs, each with one intervention', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(plans({ jobs: 3, sites: 4, groups: 3 }), async (plan) => {
        const jobs = jobsOf(plan);
        const results = await sweep(model, jobs, { cellsPerWalk: plan.cellsPerWalk, repeat: 0 });
        checkControls(results, jobs);
        compared += (await checkAgainstWholeRuns(results, jobs)).length;
      }),
      { ...RUN_PLANS, numRuns: 15 },
    );
    expect(compared).toBeGreaterThan(300);
  });

  test('equal the sweep one by one', async () => {
    let compared = 0;
    await fc.assert(
      fc.asyncProperty(plans({ jobs: 2, sites: 2, groups: 2 }), async (plan) => {
        const jobs = jobsOf(plan);
        const together = await sweep(model, jobs, { cellsPerWalk: plan.cellsPerWalk, repeat: 2 });
        checkControls(together, jobs);
        const apart = await sweep(model, jobs, { mode: 'one-by-one' });
        together.forEach((result, i) => {
          const single = apart[i] as SweepResult;
          expect(single.controls).toBeUndefined();
          expect(result.baseline).toEqual(single.baseline);
          expectSameBits(result.logits.clean, single.logits.clean);
          expectSameBits(result.logits.corrupt, single.logits.corrupt);
          expectSameBits(numbers(result), numbers(single));
          expect(result.sites.map(({ shape }) => shape)).toEqual(single.sites.map(({ shape }) => shape));
          compared += numbers(result).length / 4;
        });
      }),
      { ...RUN_PLANS, numRuns: 12 },
    );
    expect(compared).toBeGreaterThan(50);
  });
});

test('every site of every tower, whole and by heads', async () => {
  const sites = TOWERS.flatMap((tower) =>
    sitesOf(tower).flatMap((_, kind) =>
      [false, true].map((byHead) => ({ tower, kind, layers: [1], byHead, positions: [[3, 4]] })),
    ),
  );
  const jobs = jobsOf({ jobs: [{ corruption: 'both', sites }], cellsPerWalk: 1000 });
  const results = await sweep(model, jobs, { repeat: 0 });
  checkControls(results, jobs);
  const compared = await checkAgainstWholeRuns(results, jobs);
  const blocks = hooks(model).filter(({ name }) => name.includes('.blocks.1.'));
  expect(new Set(compared).size).toBe(blocks.length);
});
