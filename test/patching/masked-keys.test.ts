// Masked keys of a causal tower. As in TransformerLens, scores and pattern are full [query, key] matrices: what is
// written at a key behind its query counts, whatever runs are computed together.

import { beforeAll, describe, expect, test } from 'vitest';
import { ModelRun, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { EditSet } from '../../src/patching/edits.ts';
import { add, type Intervention, replace, runWithCache, runWithHooks } from '../../src/patching/index.ts';
import { PatchProbe } from '../../src/patching/probe.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { HostActivation } from './support.ts';

const PREFIX = 'language.blocks.1.attn';
const PATTERN = `${PREFIX}.hook_pattern`;
const SCORES = `${PREFIX}.hook_attn_scores`;
const QUERY = 5;
const HEAD = 2;

let golden: Golden;
let model: VisionLanguageModel;
let sample: Sample;
let others: Sample[];
let last: number;
beforeAll(async () => {
  golden = await Golden.open('llava-tiny');
  model = await loadFixtureModel('llava-tiny');
  sample = golden.sample('case0', 'clean');
  others = [golden.sample('case2', 'clean'), golden.sample('case1', 'corrupt')];
  last = sample.ids.length - 1;
});

/** An edit of one query's entry at one key. */
const at = (hook: string, key: number, value: number) =>
  replace(
    { hook, run: 0, positions: [QUERY], heads: [HEAD], features: [key, key + 1] },
    { values: Float32Array.of(value) },
  );

/** Scores, pattern, values and z of the first sample, and its logits. */
async function attention(samples: readonly Sample[], interventions: readonly Intervention[]) {
  const parts = ['attn_scores', 'pattern', 'v', 'z'] as const;
  const { cache, logits } = await runWithCache(model, samples, {
    names: parts.map((part) => `${PREFIX}.hook_${part}`),
    interventions,
  });
  const [scores, pattern, v, z] = await Promise.all(
    parts.map(async (part) => {
      const name = `${PREFIX}.hook_${part}`;
      return new HostActivation(name, cache.get(name).shape, await cache.read(name));
    }),
  );
  cache.release();
  return { scores: scores!, pattern: pattern!, v: v!, z: z!, logits: logits![0]! };
}

const row = (x: HostActivation, position: number, count = x.size) => {
  const first = x.index(0, position, HEAD, 0);
  return x.data.slice(first, first + count);
};

describe.each([QUERY + 1, QUERY + 3, 40])('key %i, behind the query', (key) => {
  test('a masked entry of the pattern takes effect: z = pattern · v', async () => {
    const plain = await attention([sample], []);
    const found = await attention([sample], [at(PATTERN, key, 0.75)]);
    expect(row(found.pattern, QUERY)[key]).toBe(0.75);
    const expected = row(plain.z, QUERY).map((z, d) => z + 0.75 * row(found.v, key)[d]!);
    expectClose(row(found.z, QUERY), expected, { atol: 1e-6, ofMax: 1e-6 });
    expect(found.logits).not.toEqual(plain.logits);
  });

  test('a masked score takes effect through the softmax', async () => {
    const plain = await attention([sample], []);
    expect(row(plain.scores, QUERY)[key]).toBe(Number.NEGATIVE_INFINITY);
    const found = await attention([sample], [at(SCORES, key, 0.5)]);
    const exps = row(found.scores, QUERY, last + 1).map((s) => Math.exp(s));
    const total = exps.reduce((sum, x) => sum + x, 0);
    expect(exps[key]).toBeGreaterThan(1);
    expectClose(
      row(found.pattern, QUERY, last + 1),
      exps.map((x) => x / total),
      { rtol: 1e-5, atol: 1e-7 },
    );
  });

  test.each([PATTERN, SCORES])('%s: the same bits beside other prompts', async (hook) => {
    const edit = at(hook, key, 0.25);
    const [alone] = await runWithHooks(model, [sample], { interventions: [edit] });
    const [plain] = await runWithHooks(model, [sample], {});
    expect(alone).not.toEqual(plain);
    for (const batch of [
      [sample, ...others],
      [sample, sample],
    ]) {
      const [together] = await runWithHooks(model, batch, { interventions: [edit] });
      expectSameBits(together!, alone!);
    }
  });

  test.each([PATTERN, SCORES])('%s: the same bits in a derived run', async (hook) => {
    await expectDerivedAsWhole([], [at(hook, key, 0.25)]);
  });

  test.each([PATTERN, SCORES])('%s of a base that a derived run patches at that key', async (hook) => {
    const value = new Float32Array(48).fill(0.5);
    await expectDerivedAsWhole(
      [at(hook, key, 0.25)],
      [add({ hook: 'language.blocks.0.hook_mlp_out', positions: [key] }, { values: value })],
    );
  });
});

test('to look at scores and patterns changes no bit', async () => {
  const [plain] = await runWithHooks(model, [sample], {});
  expectSameBits((await attention([sample], [])).logits, plain!);
  expectSameBits((await attention([sample, ...others], [])).logits, plain!);
});

/** Edits of a base and of a run derived from it, against one whole run with all of them. */
async function expectDerivedAsWhole(
  ofBase: readonly Intervention[],
  ofDerived: readonly Intervention[],
): Promise<void> {
  const { gpu } = model;
  const base = new ModelRun(sample);
  const run = new ModelRun(sample, base, new Set(['language']));
  const on = (target: ModelRun, list: readonly Intervention[]) =>
    list.map((edit) => ({ ...edit, run: target }));
  const derived = await gpu.work(async (w) => {
    const edits = new EditSet(w, [base, run], [...on(base, ofBase), ...on(run, ofDerived)]);
    const { tensor, rowOf } = await model.forward(w, [base, run], {
      probe: new PatchProbe(w, { edits, runs: [base, run] }),
    });
    const [values] = await w.read(tensor);
    await edits.verify();
    return values!.slice(rowOf(run) * tensor.columns, (rowOf(run) + 1) * tensor.columns);
  });
  const [whole] = await runWithHooks(model, [sample], { interventions: [...ofBase, ...ofDerived] });
  const [plain] = await runWithHooks(model, [sample], { interventions: ofBase });
  expect(whole).not.toEqual(plain);
  expectSameBits(derived, whole!);
}
