// Attention knock-out: a model without some edges is what f64 arithmetic makes of it without them, and what the model makes of
// prompts that lack the tokens nobody sees.

import { beforeAll, describe, expect, test } from 'vitest';
import { argmax } from '../../src/models/generation.ts';
import { loadModel, ModelRun, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import {
  cut,
  cutEdges,
  generateWithHooks,
  type Intervention,
  knockout,
  patchPair,
  replace,
  runWithCache,
  runWithHooks,
  scale,
} from '../../src/patching/index.ts';
import { type HostTensor, writeSafetensors } from '../../src/weights/index.ts';
import { loadFresco } from '../models/fresco/fresco.ts';
import { CONFIG, computeInF64, type Edge, weights } from '../models/fresco/reference.ts';
import { softmax } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { expectNoticeError, HostActivation } from './support.ts';

/** f32 against f64 through five blocks. */
const F32 = 1e-5;

const range = (end: number, first = 0) => Array.from({ length: end - first }, (_, i) => first + i);

describe('a whole model in f64: causal, grouped key heads, cross-attention, a vision tower', () => {
  let model: VisionLanguageModel;
  let sample: Sample;
  beforeAll(async () => {
    const tensors = new Map(
      [...weights].map(([name, tensor]): [string, HostTensor] => [name, { dtype: 'F32', ...tensor }]),
    );
    const folder = folderWith({ 'config.json': CONFIG, 'model.safetensors': writeSafetensors(tensors) });
    model = await loadModel(await testGpu(), folder, { families: { fresco: loadFresco } });
    const random = new Random(5);
    const image = { data: random.vector(3 * 16 * 16), height: 16, width: 16 };
    sample = { images: [image], ids: range(8).map(() => random.integer(50)) };
  });

  test.each<[string, Parameters<typeof cutEdges>[2], Edge]>([
    [
      'self-attention, two layers of three',
      { from: [1, 2, 4], to: [5, 7], layers: [0, 2] },
      (attention, layer, query, key) =>
        attention !== 'language.attn' || layer === 1 || ![5, 7].includes(query) || ![1, 2, 4].includes(key),
    ],
    [
      'the last position sees nothing but itself',
      { from: range(7), to: [7] },
      (attention, _, query, key) => attention !== 'language.attn' || query !== 7 || key === 7,
    ],
    [
      'nobody sees anybody, in one layer',
      { from: range(8), layers: [1] },
      (attention, layer) => attention !== 'language.attn' || layer !== 1,
    ],
    [
      'cross-attention to some patches',
      { attention: 'language.cross_attn', from: [0, 3, 4, 16], to: [2, 7], layers: [1, 2] },
      (attention, layer, query, key) =>
        attention !== 'language.cross_attn' ||
        layer === 0 ||
        ![2, 7].includes(query) ||
        ![0, 3, 4, 16].includes(key),
    ],
    [
      'all image keys: nothing is left of cross-attention',
      { from: 'image' },
      (attention) => attention !== 'language.cross_attn',
    ],
    [
      'patches that other patches do not see',
      { attention: 'vision.attn', from: [5, 6], to: [0, 1, 2, 5], layers: [0] },
      (attention, layer, query, key) =>
        attention !== 'vision.attn' || layer !== 0 || ![0, 1, 2, 5].includes(query) || ![5, 6].includes(key),
    ],
  ])('%s', async (_, edges, has) => {
    const expected = computeInF64(sample, has);
    const { logits, cache } = await runWithCache(model, [sample], {
      interventions: cutEdges(model, sample, edges),
    });
    for (const [name, values] of expected) expectClose(await cache.read(name), values, { ofMax: F32, name });
    cache.release();
    expectSameBits((await knockout(model, [sample], edges))[0]!, logits![0]!);
    const [whole] = await runWithHooks(model, [sample], {});
    expect(logits![0]).not.toEqual(whole);
  });

  test('pattern and z are 0 where no key is left, not NaN', async () => {
    const { cache } = await runWithCache(model, [sample], {
      interventions: cutEdges(model, sample, { from: 'image', to: [3], layers: [1] }),
      names: ['language.blocks.1.cross_attn.hook_{pattern,z,attn_scores}'],
    });
    const [scores, pattern, z] = await Promise.all(
      ['attn_scores', 'pattern', 'z'].map(async (part) => {
        const name = `language.blocks.1.cross_attn.hook_${part}`;
        return new HostActivation(name, cache.get(name).shape, await cache.read(name));
      }),
    );
    cache.release();
    for (const query of range(8)) {
      for (const head of range(6)) {
        const row = (x: HostActivation) =>
          x.data.slice(x.index(0, query, head, 0), x.index(0, query, head, 0) + x.size);
        const total = row(pattern!).reduce((sum, value) => sum + value, 0);
        if (query !== 3) {
          expect(total).toBeCloseTo(1, 5);
          continue;
        }
        expect(row(scores!).every((score) => score === Number.NEGATIVE_INFINITY)).toBe(true);
        expectSameBits(row(pattern!), new Float32Array(17));
        expectSameBits(row(z!), new Float32Array(8));
      }
    }
  });
});

/** Attentions of all kinds of masks: grouped key heads, tiles, windows with pictures that see themselves, windows of patches. */
const LAYERS = [
  { folder: 'llava-tiny-gqa', prefix: 'language.blocks.1.attn' },
  { folder: 'blip-tiny', prefix: 'text_encoder.blocks.1.cross_attn' },
  { folder: 'blip-tiny', prefix: 'text_decoder.blocks.0.cross_attn' },
  { folder: 'smolvlm-tiny', prefix: 'vision.blocks.1.attn' },
  { folder: 'gemma3-tiny', prefix: 'language.blocks.0.attn' },
  { folder: 'gemma3-tiny', prefix: 'language.blocks.3.attn' },
  { folder: 'qwen2_5_vl-tiny', prefix: 'vision.blocks.0.attn' },
  { folder: 'instructblip-tiny', prefix: 'qformer.blocks.0.cross_attn' },
];

describe.each(LAYERS)('$folder, $prefix', ({ folder, prefix }) => {
  test('cut edges have no score, the others what is left of the softmax; other heads and rows keep their bits', async () => {
    const golden = await Golden.open(folder);
    const model = await loadFixtureModel(folder);
    const sample = golden.sample('case0', 'clean');
    const names = ['attn_scores', 'pattern'].map((part) => `${prefix}.hook_${part}`) as [string, string];
    const read = async (interventions: Intervention[]) => {
      const { cache } = await runWithCache(model, [sample], { names, interventions, stopAfter: names[1] });
      const found = await Promise.all(names.map((name) => cache.read(name)));
      const { shape } = cache.get(names[0]);
      cache.release();
      return { shape, scores: found[0]!, pattern: found[1]! };
    };
    const whole = await read([]);
    // [tile,] head, query, key
    const [heads = 0, queries = 0, keys = 0] = whole.shape.slice(-3);
    const tiles = whole.shape.length === 5 ? (whole.shape[1] as number) : 1;
    const random = new Random(3);
    const some = (count: number, of: number) => [...new Set(range(count).map(() => random.integer(of)))];
    const positions = [...new Set([...some(4, queries * tiles), queries * tiles - 1])];
    const chosen = [...new Set([...some(Math.ceil(keys / 2), keys * tiles), 0])];
    const [one, two] = [heads - 1, 0];
    const own = await read([
      cut({ hook: names[0], positions, keys: chosen, heads: [one] }),
      // One query loses all keys, its own among them.
      cut({ hook: names[0], positions: positions.slice(0, 1), heads: [two] }),
    ]);
    let changed = 0;
    for (const position of range(queries * tiles)) {
      const tile = Math.floor(position / queries);
      for (const head of range(heads)) {
        const at = ((tile * heads + head) * queries + (position % queries)) * keys;
        const before = whole.scores.slice(at, at + keys);
        const isCut = (key: number) =>
          (head === one &&
            positions.includes(position) &&
            chosen.includes(key + (tiles > 1 ? tile * keys : 0))) ||
          (head === two && position === positions[0]);
        const expected = before.map((score, key) => (isCut(key) ? Number.NEGATIVE_INFINITY : score));
        const name = `${prefix} position ${position} head ${head}`;
        expectSameBits(own.scores.slice(at, at + keys), expected, { name });
        const pattern = own.pattern.slice(at, at + keys);
        const left = range(keys).filter((key) => expected[key] !== Number.NEGATIVE_INFINITY);
        if (!expected.some((score, key) => score !== before[key])) {
          expectSameBits(pattern, whole.pattern.slice(at, at + keys), { name });
          continue;
        }
        changed++;
        const shares = softmax(left.map((key) => expected[key] as number));
        const sparse = new Float64Array(keys);
        left.forEach((key, i) => {
          sparse[key] = shares[i] as number;
        });
        // exp and a sum of some dozen f32 values.
        expectClose(pattern, sparse, { atol: 1e-6, name });
      }
    }
    expect(changed).toBeGreaterThan(1);
  });
});

describe('what nobody sees need not be there', () => {
  test.each(['llava-tiny', 'llava-tiny-gqa'])('%s: tokens of the prompt', async (folder) => {
    const golden = await Golden.open(folder);
    const model = await loadFixtureModel(folder);
    const sample = golden.sample('case0', 'clean');
    const { length } = sample.ids;
    const gone = [length - 4, length - 3];
    const edges = { from: gone, to: range(length).filter((p) => !gone.includes(p)) };
    const [cutOff] = await knockout(model, [sample], edges);
    const left = range(length).filter((p) => !gone.includes(p));
    const [absent] = await runWithHooks(
      model,
      [{ ...sample, ids: left.map((p) => sample.ids[p] as number), places: left }],
      {},
    );
    // The sums of a softmax go over the same numbers in another order.
    expectClose(cutOff!, absent!, { ofMax: F32 });
  });

  test('blip-tiny: a token of the question, of which the decoder sees nothing either', async () => {
    const golden = await Golden.open('blip-tiny');
    const model = await loadFixtureModel('blip-tiny');
    const sample = golden.sample('case0', 'clean');
    const left = range(sample.ids.length).filter((p) => p !== 4);
    const interventions = [
      ...cutEdges(model, sample, { from: [4], to: left }),
      ...cutEdges(model, sample, { attention: 'text_decoder.cross_attn', from: [4] }),
    ];
    const [cutOff] = await runWithHooks(model, [sample], { interventions });
    const [absent] = await runWithHooks(
      model,
      [{ ...sample, ids: left.map((p) => sample.ids[p] as number), places: left }],
      {},
    );
    expectClose(cutOff!, absent!, { ofMax: F32 });
  });
});

describe('with others', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let sample: Sample;
  let last: number;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
    model = await loadFixtureModel('llava-tiny');
    sample = golden.sample('case0', 'clean');
    last = sample.ids.length - 1;
  });

  test('a batch: each run is cut as if it were alone, and the others are as they were', async () => {
    const other = golden.sample('case1', 'clean');
    const edges = { from: 'image', to: [last], layers: [1, 2] } as const;
    const [alone] = await knockout(model, [sample], edges);
    const [first, second] = await runWithHooks(model, [other, sample], {
      interventions: cutEdges(model, sample, { ...edges, run: 1 }),
    });
    expectSameBits(second!, alone!);
    expectSameBits(first!, (await runWithHooks(model, [other], {}))[0]!);
    // Images of different prompts lie at different positions: knockout takes each one's own.
    const to = [Math.min(last, other.ids.length - 1)];
    const both = await knockout(model, [other, sample], { from: 'image', to });
    for (const [i, each] of [other, sample].entries())
      expectSameBits(both[i]!, (await knockout(model, [each], { from: 'image', to }))[0]!);
  });

  test('cuts come first: what is written to the scores or the pattern behind them counts', async () => {
    const prefix = 'language.blocks.2.attn';
    const scores = `${prefix}.hook_attn_scores`;
    const edges = cut({ hook: scores, positions: [last], keys: range(20) });
    const { cache } = await runWithCache(model, [sample], { names: [scores, `${prefix}.hook_pattern`] });
    for (const name of [scores, `${prefix}.hook_pattern`]) {
      const restore = replace({ hook: name, positions: [last] }, { cached: cache.get(name) });
      const [whole] = await runWithHooks(model, [sample], {});
      for (const interventions of [
        [edges, restore],
        [restore, edges],
      ])
        expectSameBits((await runWithHooks(model, [sample], { interventions }))[0]!, whole!);
    }
    cache.release();
    const halved = scale({ hook: scores, positions: [last] }, 0.5);
    const found = await runWithCache(model, [sample], { names: scores, interventions: [edges, halved] });
    const row = new HostActivation(scores, found.cache.get(scores).shape, await found.cache.read(scores));
    found.cache.release();
    const at = row.index(0, last, 0, 0);
    expect(row.data.slice(at, at + 20).every((score) => score === Number.NEGATIVE_INFINITY)).toBe(true);
  });

  test('a derived run keeps the cut edges of its base', async () => {
    const { gpu } = model;
    const interventions = cutEdges(model, sample, { from: range(12, 4), to: [last] });
    const { EditSet } = await import('../../src/patching/edits.ts');
    const { PatchProbe } = await import('../../src/patching/probe.ts');
    const patch = { hook: 'language.blocks.0.hook_resid_post', positions: [6, last - 2] };
    const values = new Random(1).vector(2 * 48);
    const logits = await gpu.work(async (w) => {
      const base = new ModelRun(sample);
      const derived = new ModelRun(sample, base);
      const runs = [base, derived];
      const own = [
        ...interventions.map((one) => ({ ...one, run: base })),
        replace({ ...patch, run: derived }, { values }),
      ];
      const edits = new EditSet(w, runs, own);
      const { tensor, rowOf } = await model.forward(w, runs, { probe: new PatchProbe(w, { edits, runs }) });
      const [read] = await w.read(tensor);
      await edits.verify();
      return read!.slice(rowOf(derived) * tensor.columns, (rowOf(derived) + 1) * tensor.columns);
    });
    const [whole] = await runWithHooks(model, [sample], {
      interventions: [...interventions, replace(patch, { values })],
    });
    expectSameBits(logits, whole!);
  });

  test('a patched pair: the corrupt run loses edges, the clean one does not', async () => {
    const corrupt = golden.sample('case0', 'corrupt');
    const interventions = [
      ...cutEdges(model, corrupt, { from: 'image', to: [last], layers: [1, 3], run: 1 }),
      replace({ hook: 'language.blocks.0.hook_resid_post', run: 1, positions: [last - 3] }, { run: 0 }),
    ];
    const pair = { clean: sample, corrupt, correct: 1, incorrect: 2 };
    const found = await patchPair(model, pair, interventions);
    const [clean, patched] = await runWithHooks(model, [sample, corrupt], { interventions });
    expectSameBits(found.clean, clean!);
    expectSameBits(found.patched, patched!);
    expectSameBits(found.corrupt, (await runWithHooks(model, [corrupt], {}))[0]!);
  });

  test('an answer in the making: new tokens lose the edges where that is asked for', async () => {
    const image = sample.ids.flatMap((id, p) => (id === model.imageToken ? [p] : []));
    const text = range(last + 1).filter((p) => !image.includes(p) && p > image[0]!);
    for (const [newTokens, to] of [
      [true, text],
      [false, text],
      [false, undefined],
    ] as const) {
      const interventions = cutEdges(model, sample, { from: image, ...(to && { to }), newTokens });
      const [answer] = await generateWithHooks(model, [sample], {
        interventions,
        maxNewTokens: 4,
        keepLogits: true,
      });
      let ids = [...sample.ids];
      for (const [step, own] of answer!.logits.entries()) {
        const fresh = range(ids.length, sample.ids.length);
        const queries = to && [...to, ...(newTokens ? fresh : [])];
        const [logits] = await knockout(model, [{ ...sample, ids, promptEnd: sample.ids.length }], {
          from: image,
          ...(queries && { to: queries }),
        });
        expectClose(own, logits!, { ofMax: F32, name: `newTokens ${newTokens}, step ${step}` });
        ids = [...ids, argmax(own)];
      }
      expect(answer!.logits.length).toBeGreaterThan(1);
    }
  });

  test('what cannot be', async () => {
    const of = (edges: Parameters<typeof knockout>[2]) => () => knockout(model, [sample], edges);
    await expectNoticeError(
      of({ from: [last], to: [0, 1] }),
      'unfired',
      /found no edge: its queries see none of its keys/,
    );
    await expectNoticeError(of({ from: [last + 1] }), 'hook', /key 54 does not exist, there are 54/);
    await expectNoticeError(of({ from: [0], to: [54] }), 'hook', /position 54 does not exist/);
    await expectNoticeError(of({ from: [0], heads: [6] }), 'hook', /head 6 does not exist, there are 6/);
    await expectNoticeError(of({ from: [0], layers: [4] }), 'hook', /block 4 does not exist/);
    await expectNoticeError(of({ from: [0], attention: 'language.cross_attn' }), 'hook', /unknown site/);
    await expectNoticeError(of({ from: [] }), 'hook', /key: an empty list/);
    await expectNoticeError(of({ from: [0], form: 1 } as never), 'usage', /no field "form"/);
    const interventions = [cut({ hook: 'language.blocks.0.attn.hook_pattern', keys: [0] })];
    await expectNoticeError(
      () => runWithHooks(model, [sample], { interventions }),
      'hook',
      /a cut is of an attention's scores/,
    );
    const blip = await loadFixtureModel('blip-tiny');
    const question = (await Golden.open('blip-tiny')).sample('case0', 'clean');
    await expectNoticeError(
      () => knockout(blip, [question], { from: 'image', attention: 'text_encoder.attn' }),
      'image',
      /no key of text_encoder\.attn is a feature of the image/,
    );
  });
});
