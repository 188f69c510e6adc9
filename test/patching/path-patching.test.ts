// Paths of one walk are what the definition of Wang et al. (2022, appendix B) gives step by step, each step a whole forward pass: (1) both
// runs, (2) the corrupt run with the sender's clean value and all other sublayers' outputs written over with the corrupt run's, (3) the
// corrupt run with what (2) has at the receivers.

import { beforeAll, describe, expect, test } from 'vitest';
import {
  loadModel,
  type Probe,
  type Sample,
  sequenceIn,
  type VisionLanguageModel,
} from '../../src/models/index.ts';
import { Batch } from '../../src/patching/batch.ts';
import { EditSet } from '../../src/patching/edits.ts';

import {
  type ActivationCache,
  type Intervention,
  logit,
  METRICS,
  type PathEnd,
  type PathJob,
  pathPatching,
  replace,
  runWithCache,
  runWithHooks,
} from '../../src/patching/index.ts';
import { PatchProbe } from '../../src/patching/probe.ts';
import { type HostTensor, writeSafetensors } from '../../src/weights/index.ts';
import { loadFresco } from '../models/fresco/fresco.ts';
import { CONFIG, weights } from '../models/fresco/reference.ts';
import { softmax } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { caseJob, expectNoticeError } from './support.ts';

const range = (end: number) => Array.from({ length: end }, (_, i) => i);

type Pair = Pick<PathJob, 'clean' | 'corrupt' | 'correct' | 'incorrect'>;

interface Subject {
  readonly model: VisionLanguageModel;
  readonly pair: Pair;
}

async function fixture(folder: string, id = 'case0'): Promise<Subject> {
  const { sites: _, ...pair } = caseJob(await Golden.open(folder), id, []);
  return { model: await loadFixtureModel(folder), pair };
}

/** Random weights: causal, grouped key heads, cross-attention, a vision tower. */
async function random(): Promise<Subject> {
  const tensors = new Map(
    [...weights].map(([name, tensor]): [string, HostTensor] => [name, { dtype: 'F32', ...tensor }]),
  );
  const folder = folderWith({ 'config.json': CONFIG, 'model.safetensors': writeSafetensors(tensors) });
  const model = await loadModel(await testGpu(), folder, { families: { fresco: loadFresco } });
  const draw = new Random(5);
  const sample = (ids: number[]): Sample => ({
    images: [{ data: draw.vector(3 * 16 * 16), height: 16, width: 16 }],
    ids,
  });
  const clean = sample(range(8).map(() => draw.integer(50)));
  return { model, pair: { clean, corrupt: sample([...clean.ids.slice(0, 7), 3]), correct: 1, incorrect: 2 } };
}

const OUTPUT = /\.hook_(attn|cross_attn|mlp)_out$/;

/** What a sublayer has before its output projection, by the name of its output. */
function innerOf(output: string): string {
  if (output.endsWith('.hook_mlp_out')) return output.replace('hook_mlp_out', 'mlp.hook_post');
  return output.replace(/hook_(\w+)_out$/, '$1.hook_z');
}

/** Logits of the corrupt run, and of a sender's paths to some receivers. */
async function byHand(
  { model, pair }: Subject,
  senders: readonly PathEnd[],
  receivers: readonly ('logits' | readonly PathEnd[])[],
  mlps: 'frozen' | 'recomputed',
): Promise<{ readonly corrupt: Float32Array; readonly patched: readonly Float32Array[] }> {
  const clean = await runWithCache(model, [pair.clean], { names: senders.map(({ hook }) => hook) });
  const outputs = model.hooks.map(({ name }) => name).filter((name) => OUTPUT.test(name));
  const frozen = outputs
    .filter((name) => mlps === 'frozen' || !name.endsWith('mlp_out'))
    // A head of an attention sends by its z: the other heads' z is frozen there, not the output.
    .map((name) => (senders.some(({ hook }) => hook === innerOf(name)) ? innerOf(name) : name));
  const corrupt = await runWithCache(model, [pair.corrupt], { names: frozen });
  const from =
    (cache: ActivationCache) =>
    (end: PathEnd): Intervention =>
      replace(end, { cached: cache.get(end.hook), ...(end.positions && { positions: end.positions }) });
  const step2: Intervention[] = [
    ...frozen.map((hook) => from(corrupt.cache)({ hook })),
    ...senders.map(from(clean.cache)),
  ];
  const names = receivers.flatMap((to) => (to === 'logits' ? [] : to.map(({ hook }) => hook)));
  const sent = await runWithCache(model, [pair.corrupt], { interventions: step2, names });
  const patched: Float32Array[] = [];
  for (const to of receivers) {
    if (to === 'logits') patched.push(sent.logits![0]!);
    else
      patched.push(
        (await runWithHooks(model, [pair.corrupt], { interventions: to.map(from(sent.cache)) }))[0]!,
      );
  }
  for (const { cache } of [clean, corrupt, sent]) cache.release();
  return { corrupt: corrupt.logits![0]!, patched };
}

/** Senders and receivers of all kinds, drawn from a model's hook points. */
function endsOf({ model, pair }: Subject, draw: Random) {
  const names = model.hooks.map(({ name }) => name);
  const pick = (pattern: RegExp) => {
    const found = names.filter((name) => pattern.test(name));
    return found[draw.integer(found.length)] as string;
  };
  const vision = model.towers[0] as string;
  const prompt = model.promptTower;
  const [q, k] = [1, 0];
  const last = pair.clean.ids.length - 1;
  const senders: (PathEnd | PathEnd[])[] = [
    { hook: `${vision}.blocks.0.attn.hook_z`, heads: [q] },
    { hook: `${vision}.hook_embed`, positions: [1, 3] },
    { hook: `${prompt}.blocks.0.attn.hook_z`, heads: [k], positions: [last, last - 2] },
    { hook: pick(new RegExp(`^${prompt}\\.blocks\\.[01]\\.hook_mlp_out$`)) },
    [
      { hook: `${prompt}.blocks.0.attn.hook_z`, heads: [q] },
      { hook: `${prompt}.blocks.0.hook_resid_post`, positions: [last - 1] },
    ],
  ];
  if (names.includes('projector.hook_out')) senders.push({ hook: 'projector.hook_out', positions: [0, 2] });
  const cross = names.find((name) => name.endsWith('.blocks.1.cross_attn.hook_z'));
  if (cross) senders.push({ hook: cross, heads: [q] });
  const inputs = (tower: string) =>
    new RegExp(`^${tower}\\.blocks\\.[1-9]\\.(attn\\.hook_[qkv]|mlp\\.hook_pre)$`);
  const receivers: PathJob['receivers'] = [
    'logits',
    { hook: `${prompt}.blocks.1.attn.hook_v`, heads: [k] },
    { hook: `${prompt}.blocks.1.attn.hook_q`, heads: [q] },
    { hook: `${prompt}.blocks.1.mlp.hook_pre` },
    { hook: pick(inputs(prompt)) },
    { hook: pick(inputs(vision)) },
    [{ hook: `${prompt}.blocks.1.attn.hook_k` }, { hook: `${prompt}.blocks.1.attn.hook_v` }],
    { hook: `${prompt}.blocks.1.hook_resid_pre`, positions: [last] },
    ...names
      .filter((name) => /\.cross_attn\.hook_[kv]$/.test(name))
      .slice(-2)
      .map((hook) => ({ hook, heads: [k] })),
  ];
  return { senders, receivers };
}

/** The library adds an MLP's second input itself; by hand it is named. */
function withGate({ model }: Subject, ends: PathEnd[]): PathEnd[] {
  return ends.flatMap((end) => {
    const linear = end.hook.replace(/mlp\.hook_pre$/, 'mlp.hook_pre_linear');
    const gated = linear !== end.hook && model.hooks.some(({ name }) => name === linear);
    return gated ? [end, { ...end, hook: linear }] : [end];
  });
}

const list = <T>(one: T | readonly T[]): T[] => [one].flat() as T[];

const SUBJECTS: [string, () => Promise<Subject>][] = [
  ['blip-tiny', () => fixture('blip-tiny')],
  ['llava-tiny', () => fixture('llava-tiny')],
  ['a random tower', random],
];
const OTHERS = [
  'gemma3-tiny',
  'instructblip-tiny',
  'qwen3_vl-tiny',
  'smolvlm-tiny',
  'qwen2_5_vl-tiny',
  'llava_next-tiny',
];
const ALL = [
  ...SUBJECTS,
  ...OTHERS.map((folder): (typeof SUBJECTS)[number] => [folder, () => fixture(folder)]),
];

describe.each(long(SUBJECTS, ALL))('%s', (name, open) => {
  test.each(['frozen', 'recomputed'] as const)(
    'MLPs %s: one walk has the bits of the definition',
    async (mlps) => {
      const subject = await open();
      const { model, pair } = subject;
      const { senders, receivers } = endsOf(subject, new Random(name.length));
      const [result] = await pathPatching(model, [{ ...pair, senders, receivers, mlps }]);
      const { shape, data, reached, baseline, controls } = result!;
      expect(shape).toEqual([senders.length, receivers.length, METRICS.length]);
      expect(controls).toMatchObject({ nullPatches: 1, fullRestoration: true });
      const [split] = await pathPatching(model, [{ ...pair, senders, receivers, mlps }], { cellsPerWalk: 5 });
      expectSameBits(split!.data, data, { name: 'in several walks', shape });
      let effects = 0;
      const to = receivers.map((receiver) =>
        receiver === 'logits' ? receiver : withGate(subject, list(receiver)),
      );
      for (const [s, sender] of senders.entries()) {
        const { corrupt, patched } = await byHand(subject, list(sender), to, mlps);
        for (const [r, receiver] of receivers.entries()) {
          const at = s * receivers.length + r;
          const numbers = data.subarray(4 * at, 4 * at + 4);
          const difference = (row: Float32Array) => Math.fround(row[pair.correct]! - row[pair.incorrect]!);
          const path = `${JSON.stringify(sender)} → ${JSON.stringify(receiver)}`;
          const effect = Math.fround(difference(patched[r]!) - difference(corrupt));
          expectSameBits(numbers.slice(2, 3), Float32Array.of(effect), { name: path });
          // f32's exponential.
          const p = softmax(Array.from(patched[r]!))[pair.correct]!;
          expectClose([numbers[0]!], [p], { rtol: 1e-5, name: path });
          expectClose([numbers[1]!], [numbers[0]! - baseline.pCorrupt], { atol: 1e-7, name: path });
          if (reached[at] === 0) expect(effect, path).toBe(0);
          if (effect !== 0) effects++;
        }
      }
      expect(effects).toBeGreaterThan(data.length / 4 / 4);
    },
  );
});

describe('of what a path computes', () => {
  let subject: Subject;
  beforeAll(async () => {
    subject = await fixture('llava-tiny');
  });

  test('there is no way back, and a metric is measured', async () => {
    const { model, pair } = subject;
    const senders = [{ hook: 'language.blocks.2.attn.hook_z', heads: [0] }];
    const receivers: PathJob['receivers'] = [{ hook: 'language.blocks.1.attn.hook_q' }, 'logits'];
    const [result] = await pathPatching(model, [
      { ...pair, senders, receivers, metric: logit(pair.correct) },
    ]);
    expect(result!.shape).toEqual([1, 2, 2]);
    expect(Array.from(result!.reached, (count) => count > 0)).toEqual([false, true]);
    expect(result!.data[1]).toBe(0);
    expect(result!.data[3]).not.toBe(0);
  });

  test('a frozen run has rows at the sender positions alone, in every block', async () => {
    const { model } = subject;
    const job = { ...caseJob(await Golden.open('llava-tiny'), 'case0', []) };
    const rows: number[] = [];
    await model.gpu.count(async (w) => {
      const batch = new Batch(model, [job], 'wavefront');
      const { clean } = batch.bases(0);
      const edits: Intervention[] = [];
      const run = batch.frozenRun(0, {}, { towers: ['language'], frozen: 'all' }, (made) => {
        const end = { hook: 'language.blocks.0.attn.hook_z', positions: [3, 5], run: made };
        edits.push(replace(end, { run: clean }));
      });
      const { runs, frozen } = batch;
      const probe = new PatchProbe(w, { edits: new EditSet(w, runs, edits), runs, frozen });
      const watched: Probe = probe;
      watched.passed = (hook) => {
        if (/^language\..*hook_resid_post$/.test(hook))
          rows.push(sequenceIn(run, 'language').ownPositions.length);
      };
      await model.forward(w, runs, { probe });
    });
    expect(rows).toEqual([2, 2, 2, 2]);
  });

  test('what is no end of a path is refused', async () => {
    const { model, pair } = subject;
    const z = { hook: 'language.blocks.0.attn.hook_z' };
    const q = { hook: 'language.blocks.1.attn.hook_q' };
    const of =
      (senders: unknown, receivers: unknown, more: object = {}) =>
      () =>
        pathPatching(model, [{ ...pair, senders, receivers, ...more } as PathJob]);
    await expectNoticeError(of([q], ['logits']), 'hook', /hook_q is no sender of a path/);
    await expectNoticeError(of([{ hook: 'language.blocks.0.mlp.hook_pre' }], [q]), 'hook', /no sender/);
    await expectNoticeError(of([z], [z]), 'hook', /hook_z is no receiver of a path/);
    await expectNoticeError(of([z], [{ hook: 'language.blocks.1.hook_mlp_out' }]), 'hook', /no receiver/);
    await expectNoticeError(of([z], [{ hook: 'logits' }]), 'hook', /no receiver/);
    await expectNoticeError(
      of([z], [{ hook: 'language.blocks.1.attn.hook_w' }]),
      'hook',
      /unknown hook point/,
    );
    await expectNoticeError(of([], ['logits']), 'usage', /no senders/);
    await expectNoticeError(of([z], []), 'usage', /no receivers/);
    await expectNoticeError(of([[]], ['logits']), 'usage', /an empty list/);
    await expectNoticeError(of([{ ...z, run: 1 }], ['logits']), 'usage', /no field "run"/);
    await expectNoticeError(of([z], ['logits'], { mlps: 'both' }), 'usage', /mlps/);
    await expectNoticeError(of([{ ...z, heads: [99] }], ['logits']), 'hook', /head 99 does not exist/);
    await expectNoticeError(
      of([{ ...z, positions: [99] }], ['logits']),
      'hook',
      /position 99 does not exist/,
    );
  });
});
