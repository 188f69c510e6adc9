// The log-probabilities of a given answer: in one pass what a generation gives that is made to choose the same tokens.

import { describe, expect, test, vi } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  cutEdges,
  generateWithHooks,
  mean,
  noImage,
  type RunOptions,
  replace,
  runWithHooks,
  scale,
  scoreAnswer,
} from '../../src/patching/index.ts';
import { GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { expectNoticeError, withoutLeak } from './support.ts';

/** The pass's log-sum-exp is in f32: 2^-24 of a sum of about 10, and of a logit, and some of the kernel's exp and log. */
const ROUNDING = 1e-5;

/** ln softmax(row)[token], in float64. */
function logSoftmax(row: Float32Array, token: number): number {
  const largest = row.reduce((a, b) => Math.max(a, b));
  const sum = row.reduce((total, value) => total + Math.exp(value - largest), 0);
  return (row[token] as number) - largest - Math.log(sum);
}

/** Every token's log-probability in a generation that is made to choose these. */
async function forced(
  model: VisionLanguageModel,
  samples: readonly Sample[],
  answer: readonly number[],
  edits: RunOptions = {},
): Promise<number[][]> {
  const steps = samples.map(() => 0);
  const answers = await generateWithHooks(model, samples, {
    ...edits,
    maxNewTokens: answer.length,
    keepLogits: true,
    sample: (_, i) => answer[steps[i]!++]!,
  });
  return answers.map(({ logits }) => answer.map((id, token) => logSoftmax(logits[token]!, id)));
}

function expectScores(actual: readonly number[], expected: readonly number[], tolerance = ROUNDING): void {
  expect(actual).toHaveLength(expected.length);
  actual.forEach((value, i) => {
    expect(Math.abs(value - expected[i]!), `token ${i}: ${value} and ${expected[i]}`).toBeLessThan(tolerance);
  });
}

/** Text tokens that end no answer. */
const ANSWER = [21, 17, 30, 22];

describe.each([
  ['blip-tiny', 'text_encoder.blocks.1.cross_attn.hook_z', 'text_decoder.blocks.0.hook_mlp_out'],
  ['llava-tiny', 'vision.blocks.0.hook_mlp_out', 'language.blocks.1.attn.hook_z'],
  ['paligemma-tiny', 'projector.hook_out', 'language.blocks.1.hook_mlp_out'],
  ['qwen2_5_vl-tiny', 'projector.hook_out', 'language.blocks.1.attn.hook_k'],
  ['instructblip-tiny', 'qformer.blocks.0.hook_mlp_out', 'language.blocks.1.hook_resid_post'],
])('%s', (folder, ofPrompt, ofAnswer) => {
  test('one pass gives what a forced generation gives, with and without edits', async () => {
    const golden = await Golden.open(folder);
    const model = await loadFixtureModel(folder);
    const clean = golden.sample('case0', 'clean');
    const plain = await withoutLeak(model.gpu, () => scoreAnswer(model, clean, ANSWER));
    expectScores(plain.logProbabilities, (await forced(model, [clean], ANSWER))[0]!);
    expect(plain.sum).toBe(plain.logProbabilities.reduce((a, b) => a + b, 0));

    // Many sets in one walk: each has the bits of its own pass.
    const sets = [
      {},
      { interventions: [scale({ hook: ofPrompt }, -2)] },
      { interventions: [scale({ hook: ofAnswer }, 0.5), scale({ hook: ofPrompt, positions: [1] }, 3)] },
      { interventions: noImage(model, clean) },
      { interventions: [replace({ hook: ofPrompt, positions: [0] }, { run: 0, positions: [1] })] },
      { interventions: [scale({ hook: 'logits' }, 1.5)] },
    ];
    const together = await withoutLeak(model.gpu, () => scoreAnswer(model, clean, ANSWER, sets));
    for (const [i, set] of sets.entries())
      expect(together[i], `set ${i}`).toEqual(await scoreAnswer(model, clean, ANSWER, set));
    expect(new Set(together.map(({ sum }) => sum)).size).toBe(sets.length);

    for (const hook of [ofPrompt, ofAnswer]) {
      const edits = {
        interventions: [scale({ hook }, -2)],
        hooks: [{ hook: 'logits', wgsl: 'return 1.5 * value;' }],
      };
      const edited = await scoreAnswer(model, clean, ANSWER, edits);
      expectScores(edited.logProbabilities, (await forced(model, [clean], ANSWER, edits))[0]!);
      edited.logProbabilities.forEach((value, token) => {
        expect(Math.abs(value - plain.logProbabilities[token]!)).toBeGreaterThan(100 * ROUNDING);
      });
    }
  });
});

test.each(['blip-tiny', 'llava-tiny', 'qwen2_5_vl-tiny'])(
  '%s: what is cut is cut for the tokens of the answer as for new ones',
  async (folder) => {
    const golden = await Golden.open(folder);
    const model = await loadFixtureModel(folder);
    const sample = golden.sample('case0', 'clean');
    const plain = await scoreAnswer(model, sample, ANSWER);
    const attention = `${model.towers.at(-1)}.attn`;
    const last = model.answers === 'decoder' ? 0 : sample.ids.length - 1;
    const edges = { from: [0], to: [last], attention, newTokens: true };
    for (const interventions of [noImage(model, sample), cutEdges(model, sample, edges)]) {
      const { logProbabilities } = await scoreAnswer(model, sample, ANSWER, { interventions });
      expectScores(logProbabilities, (await forced(model, [sample], ANSWER, { interventions }))[0]!);
      expect(Math.abs(logProbabilities.at(-1)! - plain.logProbabilities.at(-1)!)).toBeGreaterThan(
        10 * ROUNDING,
      );
    }
  },
);

test.each(['blip-tiny', 'llava-tiny'])('%s: several runs, one patched from the other', async (folder) => {
  const golden = await Golden.open(folder);
  const model = await loadFixtureModel(folder);
  const samples = [golden.sample('case0', 'clean'), golden.sample('case0', 'corrupt')];
  const hook = `${model.promptTower}.blocks.1.hook_resid_post`;
  const interventions = [replace({ hook, run: 1, positions: [3, 4] }, { run: 0 })];
  const scores = await scoreAnswer(model, samples, ANSWER, { interventions });
  const expected = await forced(model, samples, ANSWER, { interventions });
  scores.forEach(({ logProbabilities }, run) => {
    expectScores(logProbabilities, expected[run]!);
  });
  const [clean, corrupt] = await scoreAnswer(model, samples, ANSWER);
  expect(scores[0]).toEqual(clean);
  expect(scores[1]!.sum).not.toBe(corrupt!.sum);
  // A patch of all positions takes the answer's, too.
  const whole = [replace({ hook: model.promptOutput, run: 1 }, { run: 0 })];
  expect((await scoreAnswer(model, samples, ANSWER, { interventions: whole }))[1]).toEqual(clean);
});

test.each([
  ['blip-tiny', 1],
  ['llava-tiny', 0],
])('%s: Hugging Face gives its own answers these probabilities', async (folder, start) => {
  const golden = await Golden.open(folder);
  const model = await loadFixtureModel(folder);
  for (const { id, clean } of golden.cases) {
    // Behind a decoder's start token; it ends with the end token where the answer does.
    const answer = clean.generated_ids.slice(start);
    const { data, shape } = golden.get(`${id}/clean/generate_logits`);
    const vocabulary = shape.at(-1)!;
    const expected = answer.map((token, step) =>
      logSoftmax(data.subarray(step * vocabulary, (step + 1) * vocabulary), token),
    );
    const largest = data.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const { logProbabilities } = await scoreAnswer(model, golden.sample(id, 'clean'), answer);
    // A logit is off by GOLDEN of the largest at most, and so is the log-sum-exp.
    expectScores(logProbabilities, expected, 2 * GOLDEN * largest);
  }
});

test('an answer of one token has the probability of the first position', async () => {
  const golden = await Golden.open('llava-tiny');
  const model = await loadFixtureModel('llava-tiny');
  const sample = golden.sample('case0', 'clean');
  const [logits] = await runWithHooks(model, [sample], {});
  const { logProbabilities } = await scoreAnswer(model, { image: sample.images[0]!, ids: sample.ids }, [21]);
  expectScores(logProbabilities, [logSoftmax(logits!, 21)]);
});

test('what is no answer is refused', async () => {
  const golden = await Golden.open('llava-tiny');
  const model = await loadFixtureModel('llava-tiny');
  const sample = golden.sample('case0', 'clean');
  await expectNoticeError(() => scoreAnswer(model, sample, []), 'usage', 'no answer to score');
  await expectNoticeError(() => scoreAnswer(model, [], [5]), 'usage', 'no samples to score');
  await expectNoticeError(
    () => scoreAnswer(model, sample, [model.vocabulary]),
    'usage',
    /answer\[0\] is \d+/,
  );
  await expectNoticeError(
    () => scoreAnswer(model, sample, ANSWER, { hooks: [{ hook: 'logits', wgsl: 'return value / 0.0;' }] }),
    'not-finite',
    "the answer's token 0",
  );
});

test('sets of edits: of one sample, of interventions, nothing that depends on others', async () => {
  const golden = await Golden.open('llava-tiny');
  const model = await loadFixtureModel('llava-tiny');
  const clean = golden.sample('case0', 'clean');
  const hook = 'language.blocks.1.hook_mlp_out';
  const score = (edits: unknown, sample: unknown = clean) =>
    withoutLeak(model.gpu, () =>
      scoreAnswer(model, sample as Sample, ANSWER, edits as readonly { interventions: [] }[]),
    );
  await expectNoticeError(() => score([{}], [clean]), 'usage', /sets of edits are of one sample/);
  await expectNoticeError(() => score([{}, { hooks: [] }]), 'usage', /edits\[1\].*hooks/);
  await expectNoticeError(
    () => score([{ interventions: [scale({ hook, run: 1 }, 2)] }]),
    'hook',
    /edits\[0\], language\.blocks\.1\.hook_mlp_out: .* batch row 0/,
  );
  await expectNoticeError(
    () => score([{ interventions: [mean({ hook })] }]),
    'usage',
    /a mean is over a batch/,
  );
  expect(await score([])).toEqual([]);

  // Where memory is small, in several walks of the same bits.
  const sets = Array.from({ length: 24 }, (_, i) => ({
    interventions: [scale({ hook, positions: [i] }, -1)],
  }));
  const whole = await score(sets);
  const gpu = await testGpu({ memoryBudget: 8 * 1024 * 1024 });
  const small = await loadFixtureModel('llava-tiny', { gpu });
  const count = vi.spyOn(gpu, 'work');
  expect(await scoreAnswer(small, clean, ANSWER, sets)).toEqual(whole);
  expect(count.mock.calls.length).toBeGreaterThan(0);
  count.mockRestore();
});
