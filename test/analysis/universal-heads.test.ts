import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Modality } from '../../src/analysis/cell.ts';
import type { HeadEffects } from '../../src/analysis/effects.ts';
import {
  describeUniversalHeads,
  headLabel,
  headScore,
  passCounts,
  selectHeads,
  universalHeads,
} from '../../src/analysis/universal-heads.ts';

const TASKS = ['scenes', 'states', 'faces'];
const MODALITIES = ['image', 'text'] as const;

type Golden = Record<
  string,
  Record<
    Modality,
    { mean_logit_difference: number[][]; mean: number; std: number; heads_above_mean_plus_2std: string[] }
  >
> & { universal_heads: Record<Modality, string[]> };
const golden = JSON.parse(readFileSync('test/fixtures/shapes/analysis.json', 'utf8')) as Golden;

/** Effects of one sample per entry; the golden file holds means over samples, so one sample stands for all. */
function effects(task: string, modality: Modality, ...samples: number[][][]): HeadEffects {
  return {
    task,
    modality,
    corruption: modality === 'image' ? 'sip' : 'str',
    site: 'text_encoder.cross_attn.hook_z',
    samples: samples.map((_, i) => `${task}-${i}`),
    values: samples[0]!.map((heads, l) => heads.map((_, h) => samples.map((sample) => sample[l]![h]!))),
    category: 'all',
  };
}

/** 3 × 4 heads of 0.1, but 1 at the places named "L0.H1". */
function heads(...standOut: string[]): number[][] {
  return Array.from({ length: 3 }, (_, layer) =>
    Array.from({ length: 4 }, (_, head) => (standOut.includes(headLabel({ layer, head })) ? 1 : 0.1)),
  );
}

describe('heads of the embedded model (PyTorch analysis of blip-shapes)', () => {
  const result = universalHeads(
    TASKS.flatMap((task) =>
      MODALITIES.map((modality) => effects(task, modality, golden[task]![modality].mean_logit_difference)),
    ),
    'signed',
  );

  it.each(TASKS.flatMap((task) => MODALITIES.map((modality) => [task, modality] as const)))(
    '%s, %s corruption',
    (task, modality) => {
      const selection = result.selections.find((s) => s.task === task && s.modality === modality)!;
      const expected = golden[task]![modality];
      expect(selection.passing.map(headLabel)).toEqual(expected.heads_above_mean_plus_2std);
      // The file's figures are rounded to four digits.
      expect(Math.abs(selection.mean - expected.mean)).toBeLessThan(1.01e-4);
      expect(Math.abs(selection.sd - expected.std)).toBeLessThan(1.01e-4);
    },
  );

  it('none is universal, and the report says what came closest', () => {
    expect(result.universal).toEqual(golden.universal_heads);
    expect(result.classes).toEqual({ 'vision-only': [], 'text-only': [], multimodal: [] });
    expect(passCounts(result, 'image').map(({ head, tasks }) => [headLabel(head), tasks])).toEqual([
      ['L0.H2', ['scenes', 'states']],
      ['L0.H0', ['states']],
    ]);
    expect(describeUniversalHeads(result, 'image')).toBe(
      'Under image corruption no head passes in all 3 tasks. Closest: L0.H2 (scenes, states).',
    );
    expect(describeUniversalHeads(result, 'text')).toBe(
      'Under text corruption no head passes in all 3 tasks. Closest: L0.H2 (states); L2.H0 (scenes).',
    );
  });
});

describe('statistics and threshold', () => {
  it('absolute counts a head whichever way it moves answers, signed only on balance', () => {
    expect(headScore([2, -2, 2, -2], 'absolute')).toBe(2);
    expect(headScore([2, -2, 2, -2], 'signed')).toBe(0);
    expect(headScore([-3, -1], 'absolute')).toBe(2);
    expect(headScore([-3, -1], 'signed')).toBe(-2);
    const flipping = effects(
      't',
      'image',
      heads('L1.H2'),
      heads('L1.H2').map((row) => row.map((x) => -x)),
    );
    expect(universalHeads([flipping]).universal.image!.map(headLabel)).toEqual(['L1.H2']);
    expect(universalHeads([flipping], 'signed').universal.image).toEqual([]);
  });

  it('a score at the threshold passes', () => {
    // Five values with the largest at mean + 2 sd exactly: 0, 0, 0, 0, 5 has mean 1 and sd 2.
    expect(selectHeads([[0, 0, 0, 0, 5]])).toMatchObject({
      mean: 1,
      sd: 2,
      threshold: 5,
      passing: [{ layer: 0, head: 4 }],
    });
    expect(selectHeads([[0, 0, 0, 0, 5, 3]]).passing).toEqual([]);
  });

  it('nothing passes when all heads are equal', () => {
    for (const value of [0, 0.1, -3]) {
      expect(
        selectHeads([
          [value, value],
          [value, value],
        ]),
      ).toMatchObject({ sd: expect.closeTo(0, 12), passing: [] });
    }
  });

  it('refuses scores that are not finite', () => {
    expect(() => selectHeads([[1, Number.NaN, 3]])).toThrow(/score is NaN/);
  });
});

describe('classes', () => {
  const run = (sets: Record<string, string[]>) =>
    universalHeads(
      Object.entries(sets).map(([name, labels]) => {
        const [task, modality] = name.split('/') as [string, Modality];
        return effects(task, modality, heads(...labels));
      }),
    );

  it('by the modalities in which a head passes in every task', () => {
    const result = run({
      'a/image': ['L0.H0', 'L1.H1'],
      'b/image': ['L0.H0', 'L1.H1'],
      'a/text': ['L0.H0', 'L2.H3'],
      'b/text': ['L0.H0', 'L2.H3'],
    });
    expect(result.classes).toEqual({
      'vision-only': [{ layer: 1, head: 1 }],
      'text-only': [{ layer: 2, head: 3 }],
      multimodal: [{ layer: 0, head: 0 }],
    });
    expect(describeUniversalHeads(result, 'text')).toBe(
      'Under text corruption L0.H0, L2.H3 pass in all 2 tasks.',
    );
  });

  it('says nothing of "only" where one modality was not run on the same tasks', () => {
    const one = run({ 'a/image': ['L0.H0'] });
    expect(one.universal).toEqual({ image: [{ layer: 0, head: 0 }] });
    expect(one.classes).toBeUndefined();
    expect(describeUniversalHeads(one, 'image')).toBe(
      'Under image corruption L0.H0 passes in the only task.',
    );
    expect(describeUniversalHeads(one, 'text')).toBe('The text modality was not run.');
    expect(run({ 'a/image': [], 'b/image': [], 'a/text': [] }).classes).toBeUndefined();
  });

  it('reports when nothing passes anywhere', () => {
    expect(describeUniversalHeads(run({ 'a/image': [], 'b/image': [] }), 'image')).toBe(
      'Under image corruption no head passes in any task: no score reaches mean + 2 standard deviations.',
    );
  });

  it('refuses input that cannot be compared', () => {
    expect(() => universalHeads([])).toThrow(/no head effects/);
    const a = effects('a', 'image', heads());
    expect(() => universalHeads([a, a])).toThrow(/a \/ image is there twice/);
    expect(() => universalHeads([a, effects('b', 'image', [[1, 2]])])).toThrow(
      /b \/ image has 1 × 2 heads \(layers × heads\), a \/ image has 3 × 4/,
    );
    expect(() => universalHeads([a, effects('b', 'image', [])])).toThrow(/b \/ image has 0 × 0 heads/);
    expect(() => selectHeads([[1, Number.NaN], [Number.POSITIVE_INFINITY]])).toThrow(/a head's score is NaN/);
  });
});
