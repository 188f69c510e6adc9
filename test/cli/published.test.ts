// The comparison of a run with the paper's Tables 1 to 3.

import { expect, test } from 'vitest';
import type { HeadEffects } from '../../src/analysis/effects.ts';
import { universalHeads } from '../../src/analysis/universal-heads.ts';
import type { Analysis } from '../../src/notice/experiment/analyse.ts';
import {
  compareHeads,
  PUBLISHED,
  type PublishedResults,
  paperTables,
  publishedResults,
} from '../../src/notice/reproduce/index.ts';

/** Effects of 3 × 4 heads, all small but for some. */
function effects(task: string, modality: 'image' | 'text', strong: readonly string[]): HeadEffects {
  const values = [0, 1, 2].map((layer) =>
    [0, 1, 2, 3].map((head) => (strong.includes(`L${layer}.H${head}`) ? [2, -2] : [0.01, -0.02])),
  );
  const corruption = modality === 'image' ? 'sip' : 'str';
  return { task, category: 'all', modality, corruption, site: 's', samples: ['a', 'b'], values };
}

const ours = [
  effects('svo-probes', 'image', ['L1.H0', 'L2.H3']),
  effects('fer', 'image', ['L1.H0', 'L2.H3']),
  effects('svo-probes', 'text', ['L1.H0']),
  effects('fer', 'text', ['L1.H0', 'L0.H2']),
];

const [blip] = PUBLISHED as [PublishedResults];
const published: PublishedResults = {
  ...blip,
  heads: [
    { head: 'L1.H0', class: 'multimodal' },
    { head: 'L0.H2', class: 'text-only', note: 'elsewhere L0.H3' },
    { head: 'L9.H9', class: 'vision-only' },
  ],
  functions: [
    { function: 'object detection', heads: { 'svo-probes': ['L1.H0'], 'mit-states': ['L1.H0'], fer: [] } },
  ],
};

const score = { n: 5, mean: 0.25, low: 0.2, high: 0.3 };
const analysis = {
  heads: ours,
  lastHeads: [],
  universal: universalHeads(ours),
  lastUniversal: undefined,
  accuracy: [
    {
      ...{ task: 'fer', category: 'all', n: 40, correct: 12, accuracy: 0.3, low: 0.18, high: 0.455 },
      firstLetter: { correct: 20, accuracy: 0.5, low: 0.352, high: 0.648 },
      flipped: 0,
    },
  ],
  functions: new Map([
    [
      'svo-probes',
      {
        samples: 5,
        heads: [
          { layer: 1, head: 0, class: 'none', scores: { 'object detection': { ...score, mean: 0.01 } } },
          { layer: 2, head: 1, class: 'object detection', scores: { 'object detection': score } },
        ],
      },
    ],
  ]),
  record: { tasks: [{ task: 'svo-probes' }, { task: 'fer' }] },
} as unknown as Analysis;

test('published heads first, then those that are universal here alone', () => {
  expect(compareHeads(published, universalHeads(ours))).toEqual([
    { head: 'L1.H0', published: published.heads[0], class: 'multimodal' },
    { head: 'L0.H2', published: published.heads[1], class: 'not universal' },
    { head: 'L9.H9', published: published.heads[2], class: 'not universal' },
    { head: 'L2.H3', published: undefined, class: 'vision-only' },
  ]);
  // With one modality there are no classes.
  const found = compareHeads(published, universalHeads(ours.slice(0, 2)));
  expect(found.map(({ class: own }) => own)).toEqual([undefined, undefined, undefined, undefined]);
  expect(compareHeads(published, undefined)).toHaveLength(3);
});

test('Tables 1 to 3 stand beside what was found, with n and intervals', () => {
  const [heads, accuracy, functions] = paperTables(published, analysis);
  expect(heads!.columns.map(({ name }) => name)).toEqual([
    ...['head', 'paper', 'here', 'svo-probes, image (n = 2)', 'fer, image (n = 2)'],
    ...['svo-probes, text (n = 2)', 'fer, text (n = 2)'],
  ]);
  const strong = '2 (2 to 2) ✓';
  const weak = '0.015 (0.01 to 0.02)';
  const missing = 'no such head';
  expect(heads!.rows).toEqual([
    ['L1.H0', 'multimodal', 'multimodal', strong, strong, strong, strong],
    ['L0.H2', 'text-only; elsewhere L0.H3', 'not universal', weak, weak, weak, strong],
    ['L9.H9', 'vision-only', 'not universal', missing, missing, missing, missing],
    ['L2.H3', 'not universal', 'vision-only', strong, strong, weak, weak],
  ]);
  expect(accuracy!.rows).toEqual([
    ['svo-probes', '16.10 %', 'not run', 'not run', '–'],
    ['mit-states', '44.60 %', 'not run', 'not run', '–'],
    ['fer', '66.10 %', '30 (18 to 45.5) %', '50 (35.2 to 64.8) %', '40'],
  ]);
  expect(functions!.rows).toEqual([
    [
      ...['object detection', 'svo-probes', 'L1.H0'],
      ...['L1.H0: none, score 0.01 (0.2 to 0.3)', 'L2.H1', '5'],
    ],
    ['object detection', 'fer', 'N/A', 'no boxes in the data', '–', '–'],
  ]);
  // The paper's LLaVA was patched at the prompt's last token, where nothing was patched here.
  const [last] = paperTables({ ...published, position: 'last' }, analysis);
  expect(last!.rows[0]).toEqual(['L1.H0', 'multimodal', '–']);
});

test("the values are those of the paper's text", () => {
  const values = PUBLISHED.map(({ accuracy }) => Object.values(accuracy).map((value) => value.toFixed(2)));
  expect(values).toEqual([
    ['16.10', '44.60', '66.10'],
    ['40.89', '67.81', '79.31'],
  ]);
  const count = (results: PublishedResults, name: string) =>
    results.heads.filter((head) => head.class === name).length;
  // LLaVA's multimodal ones are seven in either place; one of them has another name in each.
  expect(
    PUBLISHED.map((results) =>
      ['vision-only', 'multimodal', 'text-only'].map((name) => count(results, name)),
    ),
  ).toEqual([
    [1, 1, 1],
    [12, 8, 2],
  ]);
  expect(blip.functions.map(({ heads }) => Object.values(heads))).toEqual([
    [['L3.H0'], ['L3.H0'], ['L3.H0']],
    [['L5.H3'], ['L5.H3'], []],
    [['L0.H11'], ['L0.H11'], ['L0.H11', 'L5.H3']],
  ]);
  for (const { heads } of PUBLISHED) expect(new Set(heads.map(({ head }) => head)).size).toBe(heads.length);
});

test('models are known by id, revision, or folder', () => {
  expect(publishedResults('Salesforce/blip-vqa-base')).toBe(blip);
  expect(publishedResults(`Salesforce/blip-vqa-base@${'a'.repeat(40)}`)).toBe(blip);
  expect(publishedResults('/models/llava-1.5-7b-hf')?.position).toBe('last');
  expect(publishedResults(`/cache/models--Salesforce--blip-vqa-base/snapshots/${'a'.repeat(40)}`)).toBe(blip);
  expect(publishedResults('/models/blip-vqa-base-finetuned')).toBeUndefined();
  expect(publishedResults('/models/blip-shapes')).toBeUndefined();
});
