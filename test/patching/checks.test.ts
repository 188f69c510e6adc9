// What a sweep's checks look at, number by number: each of them alone is enough to fail.

import { beforeAll, describe, expect, test, vi } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import type { Cell } from '../../src/patching/cells.ts';
import { type Checked, checkControls, mergeControls } from '../../src/patching/controls.ts';
import {
  logProbability,
  METRIC_NUMBERS,
  METRICS,
  runWithHooks,
  scale,
  sweep,
} from '../../src/patching/index.ts';
import { checkRepeated } from '../../src/patching/measure.ts';

import { Golden, loadFixtureModel } from '../support/golden.ts';
import { caseJob } from './support.ts';

const CLEAN = Float32Array.of(1, 2, 3);

/** A control run that passes, but for what is given. */
function checked(values: Partial<Checked>): Checked {
  const interventions = [scale({ hook: 'tower.hook' }, 1)];
  const run = {} as Checked['run'];
  const effect = new Float32Array(4);
  return { kind: 'null', pair: 5, run, interventions, effect, metricEffect: 0, logits: CLEAN, ...values };
}

describe('a null patch fails by one number alone', () => {
  const tiny = 2 ** -149; // the smallest of float32
  test.each([
    ['logit difference', { effect: Float32Array.of(0.5, 0, -tiny, 0) }],
    ['probability', { effect: Float32Array.of(0.5, tiny, 0, 0) }],
    ['metric', { metricEffect: tiny }],
  ])('%s', (what, values) => {
    expect(() => checkControls([checked({}), checked(values)], CLEAN)).toThrow(
      expect.objectContaining({
        code: 'control',
        message: expect.stringMatching(
          `pair 5: a null patch at tower.hook changed the ${what} by -?1.4\\d*e-45`,
        ),
      }),
    );
  });

  test('the probability itself and the ratio are not looked at: there is nothing to restore', () => {
    const effect = Float32Array.of(0.5, 0, 0, Number.NaN);
    expect(checkControls([checked({ effect }), checked({ metricEffect: undefined })], CLEAN)).toMatchObject({
      nullPatches: 2,
    });
  });
});

test.each([0, 1, 2])('full restoration fails by logit %i alone', (at) => {
  const logits = CLEAN.map((value, i) => (i === at ? value + 2 ** -22 : value));
  expect(() => checkControls([checked({ kind: 'restoration', logits })], CLEAN)).toThrow(
    `pair 5: full restoration gives logit ${logits[at]} for token ${at}, the clean run ${CLEAN[at]}`,
  );
});

test('the noise floors are the sizes of what rounding did, in each unit, and of several walks the largest', () => {
  const floors = (p: number, ld: number, metricEffect?: number) =>
    checkControls([checked({ kind: 'rounding', effect: Float32Array.of(0, p, ld, 0), metricEffect })], CLEAN);
  const a = floors(-0.25, 0.5, -2);
  expect(a).toEqual({
    nullPatches: 0,
    fullRestoration: true,
    noiseFloor: 0.5,
    noiseFloorP: 0.25,
    noiseFloorMetric: 2,
  });
  const b = floors(0.125, -0.75, 1);
  const largest = { noiseFloor: 0.75, noiseFloorP: 0.25, noiseFloorMetric: 2 };
  expect(mergeControls(a, b)).toMatchObject(largest);
  expect(mergeControls(b, a)).toMatchObject(largest);
  expect(floors(0, 0)).toMatchObject({ noiseFloorMetric: undefined });
  const nulls = checkControls([checked({}), checked({})], CLEAN);
  expect(mergeControls(nulls, checkControls([checked({})], CLEAN))).toMatchObject({ nullPatches: 3 });
  expect(mergeControls(a, undefined)).toBe(a);
  expect(mergeControls(undefined, a)).toBe(a);
  expect(mergeControls(undefined, undefined)).toBeUndefined();
});

test('numbers have the names that tables and messages use', () => {
  expect(METRICS).toEqual(['p', 'p_effect', 'ld_effect', 'normalized']);
  expect(METRIC_NUMBERS).toEqual(['patched', 'effect']);
});

describe('a cell that is repeated must give the same, in every number', () => {
  const cell: Cell = {
    ...{
      pair: 0,
      site: 0,
      index: 0,
      tower: 't',
      hook: 't.blocks.0.h',
      layer: 0,
      head: undefined,
      positions: [1, 2],
    },
  };
  const all = [...METRICS, ...METRIC_NUMBERS] as const;
  test.each(all)('%s', (name) => {
    const names: readonly string[] = all.indexOf(name) < METRICS.length ? METRICS : METRIC_NUMBERS;
    const values = Float32Array.from(names, (_, i) => i + 1);
    const next = values.map((value, i) => (names[i] === name ? value * (1 + 2 ** -23) : value));
    expect(() => checkRepeated(cell, values, values.slice())).not.toThrow();
    expect(() => checkRepeated(cell, values, next)).toThrow(
      expect.objectContaining({
        code: 'control',
        message: expect.stringContaining(`t.blocks.0.h, position 1, 2, gives ${name} = `),
      }),
    );
  });

  test('a ratio that is undefined both times is the same; 0 and −0 are not', () => {
    const four = Float32Array.of(1, 0, 0, Number.NaN);
    expect(() => checkRepeated(cell, four, four.slice())).not.toThrow();
    expect(() => checkRepeated(cell, four, Float32Array.of(1, 0, -0, Number.NaN))).toThrow(/ld_effect/);
  });
});

describe('on a model', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open('blip-tiny');
    model = await loadFixtureModel('blip-tiny');
  });

  test.each(['case0', 'case1', 'case2'])(
    '%s: the noise floor is what one unit in the last place does',
    async (id) => {
      const job = caseJob(golden, id, [{ site: 'text_encoder.attn.hook_z', positions: [1], layers: [0] }]);
      const { clean, corrupt, correct, incorrect } = job;
      const [result] = await sweep(model, [job], { repeat: 0 });
      const changed = clean.images[0] === corrupt.images[0];
      const first = changed ? clean.ids.findIndex((id, p) => id !== corrupt.ids[p]) : 0;
      const positions = clean.ids.map((_, p) => p).slice(first);
      const target = { hook: 'text_encoder.hook_embed', positions };
      const difference = async (interventions: Parameters<typeof runWithHooks>[2]['interventions']) => {
        const [logits] = await runWithHooks(model, [corrupt], { interventions: interventions ?? [] });
        return Math.fround((logits as Float32Array)[correct]! - (logits as Float32Array)[incorrect]!);
      };
      const rounded = await difference([scale(target, 1 + 2 ** -23)]);
      expect(result?.controls?.noiseFloor).toBe(Math.abs(Math.fround(rounded - (await difference([])))));
    },
  );

  test('every pair has its own null patches, one at each of its sites', async () => {
    const first = { site: 'text_encoder.attn.hook_z', positions: [1], layers: [0] };
    const second = { site: 'text_encoder.hook_mlp_out', positions: [2], layers: [1] };
    const jobs = [caseJob(golden, 'case0', [first]), caseJob(golden, 'case2', [first, second])];
    const results = await sweep(model, jobs, { repeat: 0 });
    expect(results.map(({ controls }) => controls?.nullPatches)).toEqual([1, 2]);
  });

  test.each([undefined, logProbability(3)])(
    'the first cell that is repeated is the one of the earliest block with an effect, and of its positions the largest (%#)',
    async (metric) => {
      const site = { site: 'text_encoder.hook_resid_pre', layers: [2, 1] };
      const job = caseJob(golden, 'case2', [site]);
      const forward = vi.spyOn(model, 'forward');
      const [result] = await sweep(model, [job], { repeat: 1, metric });
      const probe = forward.mock.calls.at(-1)?.[2]?.probe;
      forward.mockRestore();
      const names: readonly string[] = metric ? METRIC_NUMBERS : METRICS;
      const at = names.indexOf(metric ? 'effect' : 'ld_effect');
      const { data, shape } = result!.sites[0]!;
      // [layer, position, number]; the second layer asked for is the earlier block.
      const positions = shape[1]!;
      const effects = Array.from({ length: positions }, (_, p) =>
        Math.abs(data[(positions + p) * names.length + at]!),
      );
      const largest = effects.indexOf(Math.max(...effects));
      expect(effects[largest]).toBeGreaterThan(0);
      const [fork] = probe?.forks('text_encoder.blocks.1.hook_resid_pre') ?? [];
      expect(fork?.positions).toEqual([largest]);
    },
  );
});
