import { describe, expect, it } from 'vitest';
import type { Corruption } from '../../src/analysis/cell.ts';
import { headCorrelations, layerProfile } from '../../src/analysis/comparison.ts';
import { summarizeEffects } from '../../src/analysis/effect-summary.ts';
import type { HeadEffects, ModuleEffects } from '../../src/analysis/effects.ts';

const group = { task: 'scenes', modality: 'image', category: 'all', site: 'site' } as const;

const heads = (corruption: Corruption, values: HeadEffects['values']): HeadEffects => ({
  ...group,
  corruption,
  samples: ['a', 'b'],
  values,
});

const modules: ModuleEffects = {
  ...group,
  corruption: 'sip',
  samples: ['a', 'b', 'c'],
  roles: ['noun', 'correct'],
  values: [
    [
      [undefined, undefined, undefined],
      [1, undefined, 2],
    ],
    [
      [1, 2, 6],
      [-1, 0, 1],
    ],
  ],
};

describe('comparison of corruptions', () => {
  it('ranks heads by their scores', () => {
    const sip = heads('sip', [
      [
        [1, -1],
        [2, 2],
      ],
      [
        [3, 3],
        [4, 4],
      ],
    ]);
    const noise = heads('noise', [
      [
        [0.1, 0.1],
        [0.2, 0.2],
      ],
      [
        [0.4, 0.4],
        [0.3, 0.3],
      ],
    ]);
    const other = {
      ...heads('str', sip.values),
      task: 'faces',
    };
    expect(headCorrelations([sip, noise, other])).toEqual([
      { task: 'scenes', site: 'site', corruptions: ['sip', 'noise'], rho: expect.closeTo(0.8, 12), heads: 4 },
    ]);
  });

  it('layer profiles summarize a role', () => {
    expect(layerProfile(modules, 'correct')).toMatchObject([
      { n: 3, mean: 3 },
      { n: 3, mean: 0 },
    ]);
    expect(layerProfile(modules, 'noun')[0]).toBeUndefined();
    expect(() => layerProfile(modules, 'verb')).toThrow(
      /no token has the role "verb"; there are noun, correct/,
    );
  });
});

describe('effect summaries', () => {
  it('have a row per role and layer with samples, p-values adjusted over them', () => {
    const rows = summarizeEffects(modules);
    expect(rows.map(({ role, layer, head, n, mean, p }) => [role, layer, head, n, mean, p])).toEqual([
      ['noun', 1, null, 2, 1.5, 0.5],
      ['correct', 0, null, 3, 3, 0.25],
      ['correct', 1, null, 3, 0, 1],
    ]);
    // Of the 8 sign patterns the 4 in which a and c differ give the third row √2, more than the second's 9 / √41, which
    // 2 others reach; the other 4 give the first row its own 3 / √5.
    expect(rows.map(({ pAdjusted }) => pAdjusted)).toEqual([1, 0.75, 1]);
    expect(rows[1]).toMatchObject({ task: 'scenes', corruption: 'sip', site: 'site', low: 1, high: 6 });
  });

  it('or per layer and head', () => {
    const rows = summarizeEffects(
      heads('sip', [
        [
          [1, 3],
          [5, 5],
        ],
      ]),
    );
    expect(rows.map(({ role, layer, head, mean, sd }) => [role, layer, head, mean, sd])).toEqual([
      [null, 0, 0, 2, Math.SQRT2],
      [null, 0, 1, 5, 0],
    ]);
  });
});
