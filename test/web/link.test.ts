// The state of the page in its address, without a browser: whatever is written is read back, and nothing else is let in.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FIRST_PAIR } from '../../src/web/first-pair.ts';
import type { Pin } from '../../src/web/protocol/pins.ts';
import type { PairSpec } from '../../src/web/protocol/session.ts';
import { linkOf, type PageState, readLink } from '../../src/web/state/link.ts';

const { corruptQuestion: _, ...first } = FIRST_PAIR;
const pair: PairSpec = first;
const pins: readonly Pin[] = [
  {
    kind: 'edit',
    id: 3,
    on: true,
    hooks: ['text_encoder.blocks.1.cross_attn.hook_z'],
    positions: [7],
    heads: [0, 2],
    operation: { kind: 'scale', factor: -1.5 },
  },
  { kind: 'cut', id: 4, on: false, attention: 'text_encoder.cross_attn', from: [1, 2], to: [7], layers: [0] },
  { kind: 'patches', id: 5, on: true, patches: [8, 9], operation: 'mean' },
];
const state: PageState = {
  model: { kind: 'embedded', name: 'blip-shapes' },
  pair,
  corruption: 'text',
  metric: 'p_effect',
  pins,
  tab: 'lens',
};

test('a state comes back as it was, an embedded pair by its name', () => {
  const { hash, leftOut } = linkOf(state, pair);
  expect(hash).toContain('model=blip-shapes&pair=scenes/002&corruption=text');
  expect(leftOut).toEqual([]);
  expect(readLink(`#${hash}`)).toEqual({ ...state, pair: 'scenes/002', missing: [] });
});

test('changes of an embedded pair are in the link', () => {
  const boxes = [[1, 2, 30.5, 4]] as const;
  const images: PairSpec['image'][] = [
    { kind: 'noise', scale: 3, seed: 7 },
    { kind: 'painted', boxes },
    { kind: 'no-image' },
  ];
  for (const image of images) {
    const changed = { ...pair, image };
    const { hash, leftOut } = linkOf({ ...state, pair: changed }, pair);
    expect(readLink(hash)).toEqual({ ...state, pair: changed, missing: [] });
    expect(leftOut).toEqual([]);
  }
});

test('models of the hub, storage types and sites come back; a token of the hub is never in the link', () => {
  const model = { kind: 'hub', id: 'llava-hf/llava-1.5-7b-hf@main', token: 'hf_secret' } as const;
  const { hash } = linkOf(
    { ...state, model, dtype: 'nf4', sites: ['a.attn.hook_z', 'a.hook_mlp_out'] },
    pair,
  );
  expect(hash).not.toContain('secret');
  expect(readLink(hash)).toMatchObject({
    model: { kind: 'hub', id: model.id },
    dtype: 'nf4',
    sites: ['a.attn.hook_z', 'a.hook_mlp_out'],
  });
});

test('pictures and folders of one’s own are left out and said so, on both ends', () => {
  const file = new Blob(['pixels of mine']);
  const own: PairSpec = { ...pair, id: undefined, clean: { kind: 'file', name: 'me & you.png', file } };
  const model = { kind: 'folder', name: 'my-model', files: new Map() } as const;
  const { hash, leftOut } = linkOf({ ...state, model, pair: own });
  expect(leftOut).toEqual(['the files of the model my-model', 'the picture me & you.png']);
  const read = readLink(hash);
  expect(read.missing).toEqual([
    'the folder of the model my-model: open it once more',
    'the picture me & you.png: choose it once more',
  ]);
  expect(read.model).toBeUndefined();
  expect(read.folder).toBe('my-model');
  expect(read.pair).toMatchObject({ question: pair.question, clean: { kind: 'file', name: 'me & you.png' } });
});

describe('what the page does not write', () => {
  test('is left out, the rest is read', () => {
    for (const wrong of [
      'pins=[',
      'pins={}',
      'pins=[{"kind":"edit","id":1,"on":true,"hooks":[],"operation":{"kind":"zero"}}]',
      'pins=[{"kind":"edit","id":1,"on":true,"hooks":["x"],"operation":{"kind":"scale","factor":"2"}}]',
      'pins=[{"kind":"cut","id":1,"on":true,"attention":"x","from":[1.5],"to":[2]}]',
      'pins=[{"kind":"patches","id":1,"on":1,"patches":[1],"operation":"zero"}]',
      `pins=${JSON.stringify([pins[0], pins[0]])}`,
      'metric=x',
      'corruption=clean',
      'spec={"question":1}',
      'spec={"question":"a","correct":"b","incorrect":"c","clean":{"kind":"file"},"image":{"kind":"no-image"}}',
    ])
      expect(readLink(`#model=blip-shapes&${wrong}`), wrong).toEqual({ model: state.model, missing: [] });
    expect(readLink('')).toEqual({ missing: [] });
  });

  test('never throws', () => {
    fc.assert(fc.property(fc.string(), (text) => void readLink(text)));
    fc.assert(fc.property(fc.jsonValue(), (value) => void readLink(`pins=${JSON.stringify(value)}`)));
    fc.assert(fc.property(fc.jsonValue(), (value) => void readLink(`spec=${JSON.stringify(value)}`)));
  });
});
