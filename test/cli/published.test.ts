// The comparison of universal heads with published ones.

import { expect, test } from 'vitest';
import type { HeadEffects } from '../../src/analysis/effects.ts';
import { universalHeads } from '../../src/analysis/universal-heads.ts';
import { compareHeads, type PublishedResults, publishedResults } from '../../src/notice/reproduce/index.ts';

/** Effects of 3 × 4 heads, all small but for some. */
function effects(task: string, modality: 'image' | 'text', strong: readonly string[]): HeadEffects {
  const values = [0, 1, 2].map((layer) =>
    [0, 1, 2, 3].map((head) => (strong.includes(`L${layer}.H${head}`) ? [2, -2] : [0.01, -0.02])),
  );
  const corruption = modality === 'image' ? 'sip' : 'str';
  return { task, modality, corruption, site: 's', samples: ['a', 'b'], values } as unknown as HeadEffects;
}

const ours = [
  effects('one', 'image', ['L1.H0', 'L2.H3']),
  effects('two', 'image', ['L1.H0', 'L2.H3']),
  effects('one', 'text', ['L1.H0']),
  effects('two', 'text', ['L1.H0', 'L0.H2']),
];

const published: PublishedResults = {
  model: 'x/y',
  heads: [
    { head: 'L1.H0', class: 'multimodal', function: 'object detection' },
    { head: 'L0.H2', class: 'text-only' },
  ],
  position: 'answer',
  source: '',
  notes: [],
  missing: [],
};

test('published heads first, then those that are universal here alone', () => {
  const analysis = { universal: universalHeads(ours), lastUniversal: undefined };
  expect(compareHeads(published, analysis)).toEqual([
    {
      head: 'L1.H0',
      published: published.heads[0],
      class: 'multimodal',
      image: ['one', 'two'],
      text: ['one', 'two'],
    },
    { head: 'L0.H2', published: published.heads[1], class: 'not universal', image: [], text: ['two'] },
    { head: 'L2.H3', published: undefined, class: 'vision-only', image: ['one', 'two'], text: [] },
  ]);
});

test("heads at the prompt's last token, where the paper patched those", () => {
  const analysis = { universal: undefined, lastUniversal: universalHeads(ours.slice(0, 2)) };
  const found = compareHeads({ ...published, position: 'last' }, analysis);
  expect(found.map(({ head, class: own }) => [head, own])).toEqual([
    ['L1.H0', undefined], // with one modality there are no classes
    ['L0.H2', undefined],
    ['L2.H3', undefined],
  ]);
  expect(compareHeads(published, analysis)).toEqual([]);
});

test('models are known by id, revision, or folder', () => {
  const blip = publishedResults('Salesforce/blip-vqa-base');
  expect(blip?.heads.map(({ head }) => head)).toEqual(['L3.H0', 'L5.H3', 'L0.H11']);
  expect(publishedResults(`Salesforce/blip-vqa-base@${'a'.repeat(40)}`)).toBe(blip);
  expect(publishedResults('/models/llava-1.5-7b-hf')?.heads).toHaveLength(7);
  expect(publishedResults(`/cache/models--Salesforce--blip-vqa-base/snapshots/${'a'.repeat(40)}`)).toBe(blip);
  expect(publishedResults('/models/blip-vqa-base-finetuned')).toBeUndefined();
  expect(publishedResults('/models/blip-shapes')).toBeUndefined();
});
