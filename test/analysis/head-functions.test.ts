import { describe, expect, it } from 'vitest';
import { type BoxedAttention, FUNCTION_RULES, headFunctions } from '../../src/analysis/head-functions.ts';
import { outlierPatches } from '../../src/analysis/head-measures.ts';
import { seeded } from '../../src/random.ts';

const PATCHES = 64;
const OUTLIER = 63;

// One layer of five heads on an 8 × 8 grid, the object in four patches:
// H0 looks at the object, H1 away from it, H2 evenly, H3 and H4 evenly and at one spot of background, H4 most.
const HEADS = 5;
const WEIGHTS = [
  { object: 10, outlier: 1 },
  { object: 0.1, outlier: 5 },
  { object: 1, outlier: 1 },
  { object: 1, outlier: 10 },
  { object: 1, outlier: 40 },
];

function sample(seed: number, noise = 0.1): BoxedAttention {
  const random = seeded(`heads/${seed}`);
  const object = 9 * random.integer(5); // top left patch of the object, on the diagonal
  const coverage = new Float32Array(PATCHES);
  for (const p of [object, object + 1, object + 8, object + 9]) coverage[p] = 1;
  const data = new Float32Array(HEADS * PATCHES);
  WEIGHTS.forEach((weights, head) => {
    const values = Array.from(coverage, (inside, p) => {
      const weight = inside ? weights.object : p === OUTLIER ? weights.outlier : 1;
      return weight * (1 + noise * (random.next() - 0.5));
    });
    const sum = values.reduce((a, b) => a + b) * 2; // half of the attention lies on other keys
    values.forEach((value, p) => {
      data[head * PATCHES + p] = value / sum;
    });
  });
  return { attention: { layers: 1, heads: HEADS, patches: PATCHES, data }, coverage };
}

describe('head functions', () => {
  it('finds what the heads were made to do', async () => {
    const report = await headFunctions(Array.from({ length: 20 }, (_, i) => sample(i)));
    expect(report).toMatchObject({ samples: 20, withOutliers: 20, withoutBox: 0 });
    expect(report.heads.map((head) => head.class)).toEqual([
      'object detection',
      'object suppression',
      'outlier suppression',
      'none',
      'none',
    ]);
    expect(report.heads.map(({ layer, head }) => [layer, head])).toEqual([0, 1, 2, 3, 4].map((h) => [0, h]));
  });

  it('finds one perfect detector among 1024 heads', async () => {
    const report = await headFunctions(
      Array.from({ length: 24 }, (_, i) => {
        const random = seeded(`many/${i}`);
        const coverage = Float32Array.from({ length: 16 }, (_, p) => (p === i % 16 ? 1 : 0));
        const data = Float32Array.from({ length: 1024 * 16 }, () => (0.5 + random.next()) / 32);
        data.set(coverage, 700 * 16);
        return { attention: { layers: 32, heads: 32, patches: 16, data }, coverage };
      }),
    );
    const found = report.heads.filter((head) => head.class !== 'none');
    expect(found.map(({ layer, head, class: own }) => [layer, head, own])).toEqual([
      [21, 28, 'object detection'],
    ]);
    expect(found[0]!.scores['object detection']!.pAdjusted).toBeLessThan(0.01);
  });

  it('what one of many heads does by chance is no function', async () => {
    const report = await headFunctions(
      Array.from({ length: 9 }, (_, i) => {
        const random = seeded(`chance/${i}`);
        const coverage = Float32Array.from({ length: 16 }, (_, p) => (p < 4 ? 1 : 0));
        const data = Float32Array.from({ length: 400 * 16 }, () => random.next() ** 6 / 16);
        return { attention: { layers: 20, heads: 20, patches: 16, data }, coverage };
      }),
    );
    const lucky = report.heads.filter(({ scores }) => {
      const { p, ratio } = scores['object detection']!;
      return p <= 0.05 && ratio >= FUNCTION_RULES.detectionRatio;
    });
    expect(lucky.length).toBeGreaterThan(0);
    expect(lucky.filter((head) => head.class === 'object detection')).toEqual([]);
  });

  it('computes the written definitions', async () => {
    const { heads } = await headFunctions([sample(1, 0)]);
    const totals = WEIGHTS.map(({ object, outlier }) => 4 * object + outlier + 59);
    const inside = WEIGHTS.map(({ object }, h) => (4 * object) / totals[h]!);
    const average = inside.reduce((a, b) => a + b) / HEADS;
    const chance = 4 / PATCHES;
    const outlierMass = WEIGHTS.map(({ outlier }, h) => outlier / totals[h]!);
    const averageShare = outlierMass.reduce((a, b) => a + b) / HEADS / (1 - average);
    heads.forEach(({ scores, evidence }, h) => {
      const share = outlierMass[h]! / (1 - inside[h]!);
      expect(evidence.inside).toBeCloseTo(inside[h]!, 6);
      expect(evidence.averageInside).toBeCloseTo(average, 6);
      expect(evidence.chance).toBeCloseTo(chance, 6);
      expect(evidence.lift).toBeCloseTo(inside[h]! / chance, 5);
      expect(evidence.imageMass).toBeCloseTo(0.5, 6);
      expect(evidence.outlierShare).toBeCloseTo(share, 6);
      expect(scores['object detection']!.mean).toBeCloseTo(inside[h]! - Math.max(average, chance), 6);
      expect(scores['object suppression']!.mean).toBeCloseTo(Math.min(average, chance) - inside[h]!, 6);
      expect(scores['outlier suppression']!.mean).toBeCloseTo(averageShare - share, 6);
      expect(scores['outlier suppression']!.ratio).toBeCloseTo(share / averageShare, 5);
    });
    // An even head has entropy 1.
    expect(heads[2]!.evidence.entropy).toBeCloseTo(1, 6);
    expect(heads[0]!.evidence.entropy).toBeLessThan(0.95);
  });

  it('a large effect in few samples is not enough: no class without significance', async () => {
    const { heads } = await headFunctions([0, 1, 2].map((i) => sample(i)));
    // The smallest p-value of three samples is 2 / 8.
    expect(heads[0]!.scores['object detection']).toMatchObject({ p: 0.25, holds: false });
    expect(heads.map((head) => head.class)).toEqual(new Array(HEADS).fill('none'));
  });

  it('without outlier patches there is no score for them', async () => {
    const { attention, coverage } = sample(0);
    const data = new Float32Array(HEADS * PATCHES).fill(1 / 64);
    const even = { attention: { ...attention, data }, coverage };
    const report = await headFunctions([even]);
    expect(report.withOutliers).toBe(0);
    expect(Object.keys(report.heads[0]!.scores)).toEqual(['object detection', 'object suppression']);
    expect(report.heads[0]!.evidence.outlierShare).toBeUndefined();
    expect(report.heads[0]!.scores['object detection']!.mean).toBe(0);
  });

  it('outlier patches lie outside the box, at or above mean + 2 sd', () => {
    const average = new Float64Array(20).fill(1);
    average[3] = 50;
    average[7] = 20;
    const coverage = new Float32Array(20);
    expect(outlierPatches(average, coverage)).toEqual([3]);
    coverage[3] = 0.01;
    expect(outlierPatches(average, coverage)).toEqual([7]);
    expect(outlierPatches(new Float64Array(20).fill(0.1), coverage)).toEqual([]);
    // One value above n − 1 equal ones lies √(n − 1) standard deviations above their mean.
    const one = (n: number) => Float64Array.from({ length: n }, (_, p) => (p === 0 ? 5 : 1));
    expect(outlierPatches(one(6), new Float32Array(6))).toEqual([0]);
    expect(outlierPatches(one(4), new Float32Array(4))).toEqual([]);
    expect(outlierPatches(average, new Float32Array(20).fill(1))).toEqual([]);
  });

  it('a head that does not look at an image is left out of that sample', async () => {
    const blind = sample(5);
    blind.attention.data.fill(0, 0, PATCHES);
    const { heads } = await headFunctions([sample(4), blind]);
    expect(heads.map(({ scores }) => scores['object detection']!.n)).toEqual([1, 2, 2, 2, 2]);
    await expect(headFunctions([blind])).rejects.toThrow(
      /L0\.H0 gives the image's patches no attention in any sample/,
    );
  });

  it('counts samples without a box on the grid and refuses a run of only those', async () => {
    const cropped = { ...sample(0), coverage: new Float32Array(PATCHES) };
    async function* stream() {
      yield sample(1);
      yield cropped;
    }
    expect(await headFunctions(stream())).toMatchObject({ samples: 1, withoutBox: 1 });
    await expect(headFunctions([cropped])).rejects.toThrow(
      /no sample has an object's box .*\(1 were given\)/,
    );
    const wrong = { ...sample(0), coverage: new Float32Array(3) };
    await expect(headFunctions([sample(1), wrong])).rejects.toThrow(/a box on 3 patches/);
  });
});
