import { beforeAll, describe, expect, test, vi } from 'vitest';
import { sampler } from '../../src/inputs/index.ts';
import { loadModel, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { generateWithHooks, type Intervention, runWithHooks, scale, zero } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, GOLDEN, Golden, type GoldenRun, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

const END = 2;

describe.each(['llava-tiny', 'llava-tiny-gqa'])('%s', (folder) => {
  let golden: Golden;
  let model: VisionLanguageModel;
  let all: { name: string; sample: Sample; expected: readonly number[] }[];
  beforeAll(async () => {
    golden = await Golden.open(folder);
    model = await loadFixtureModel(folder);
    all = golden.cases.flatMap((c) =>
      (['clean', 'corrupt'] as const).map((run) => ({
        name: `${c.id}/${run}`,
        sample: golden.sample(c.id, run),
        expected: (c[run] as GoldenRun).generated_ids,
      })),
    );
  });

  test('generates what Hugging Face generates, all cases in one batch', async () => {
    const answers = await model.generate(
      all.map(({ sample }) => sample),
      { maxNewTokens: 10, keepLogits: true },
    );
    answers.forEach(({ ids, logits, stopped }, i) => {
      const { name, expected } = all[i] as (typeof all)[number];
      expect(stopped ? [...ids, END] : ids, name).toEqual(expected);
      const { data } = golden.get(`${name}/generate_logits`);
      expectClose(
        logits.flatMap((row) => [...row]),
        data,
        { ofMax: GOLDEN, name },
      );
    });
    expect(answers.some(({ stopped }) => stopped)).toBe(true);
    expect(answers.some(({ stopped }) => !stopped)).toBe(true);
  });

  test('with its cache a step gives the bits of a forward pass over the whole text', async () => {
    const { sample } = all[2] as (typeof all)[number];
    const [answer] = await model.generate([sample], { maxNewTokens: 5, keepLogits: true });
    const { ids = [], logits = [] } = answer ?? {};
    expect(logits.length).toBeGreaterThan(1);
    for (const [step, row] of logits.entries()) {
      const [whole] = await runWithHooks(
        model,
        [{ ...sample, ids: [...sample.ids, ...ids.slice(0, step)] }],
        {},
      );
      expectSameBits(row, whole as Float32Array, { name: `step ${step}` });
    }
  });

  test('a sequence gets the same bits alone and in a batch of unequal lengths', async () => {
    const samples = all.map(({ sample }) => sample);
    expect(new Set(samples.map(({ ids }) => ids.length)).size).toBeGreaterThan(1);
    const options = { maxNewTokens: 4, keepLogits: true };
    const together = await model.generate(samples, options);
    for (const i of [0, 3, 5])
      expect(await model.generate([samples[i] as Sample], options)).toEqual([together[i]]);
  });

  test('tokens are told as they come', async () => {
    const told = new Map<number, number[]>();
    const answers = await model.generate(
      all.slice(0, 3).map(({ sample }) => sample),
      {
        maxNewTokens: 10,
        onToken: (token, sequence) => told.set(sequence, [...(told.get(sequence) ?? []), token]),
      },
    );
    expect(answers.map((_, i) => told.get(i) ?? [])).toEqual(answers.map(({ ids }) => ids));
  });

  test('drawn tokens: the seed decides, neighbours do not', async () => {
    const samples = all.slice(0, 3).map(({ sample }) => sample);
    const drawn = (of: readonly Sample[], seed: number) =>
      model.generate(of, { maxNewTokens: 6, sample: sampler({ temperature: 3, topK: 40, seed }) });
    const first = await drawn(samples, 1);
    expect(await drawn(samples, 1)).toEqual(first);
    expect(await drawn(samples, 2)).not.toEqual(first);
    expect(await drawn(samples.slice(0, 1), 1)).toEqual(first.slice(0, 1));
    const greedy = await model.generate(samples, { maxNewTokens: 6 });
    expect(first).not.toEqual(greedy);
    expect(await model.generate(samples, { maxNewTokens: 6, sample: sampler({ topK: 1, seed: 1 }) })).toEqual(
      greedy,
    );
  });
});

describe('llava-tiny', () => {
  let golden: Golden;
  let model: VisionLanguageModel;
  beforeAll(async () => {
    golden = await Golden.open('llava-tiny');
    model = await loadFixtureModel('llava-tiny');
  });

  test('any of several tokens ends an answer', async () => {
    const sample = golden.sample('case1', 'clean');
    const [greedy] = await model.generate([sample], { maxNewTokens: 10 });
    const stop = greedy?.ids[3] as number;
    const other = await loadModel(
      await testGpu(),
      folderWith(
        { 'generation_config.json': { eos_token_id: [END, stop] } },
        nodeFolder(fixture('llava-tiny')),
      ),
    );
    const [answer] = await other.generate([sample], { maxNewTokens: 10 });
    expect(answer).toMatchObject({
      ids: greedy?.ids.slice(0, greedy.ids.indexOf(stop)),
      stopped: true,
    });
    other.destroy();
  });

  test('an answer that would go beyond the positions of the model is refused', async () => {
    const sample = golden.sample('case0', 'clean');
    const room = 128 - sample.ids.length + 1;
    const options = { sample: () => 5 };
    const [answer] = await model.generate([sample], { ...options, maxNewTokens: room });
    expect(answer?.ids).toHaveLength(room);
    await expect(model.generate([sample], { ...options, maxNewTokens: room + 1 })).rejects.toThrow(
      /129 positions, this model reads at most 128/,
    );
  });

  test('in groups the answers are the same', async () => {
    const samples = golden.cases.flatMap(({ id }) => [
      golden.sample(id, 'clean'),
      golden.sample(id, 'corrupt'),
    ]);
    const run = async (of: VisionLanguageModel) => {
      const told: [number, number][] = [];
      const drawn = await of.generate(samples, {
        maxNewTokens: 3,
        keepLogits: true,
        sample: sampler({ temperature: 2, seed: 5 }),
        onToken: (token, sequence) => told.push([sequence, token]),
      });
      const bySequence = (a: [number, number], b: [number, number]) => a[0] - b[0];
      return { drawn, told: told.sort(bySequence) };
    };
    const gpu = await testGpu({ memoryBudget: 2_000_000 });
    const small = await loadFixtureModel('llava-tiny', { gpu });
    const work = vi.spyOn(gpu, 'work');
    gpu.pool.resetPeak();
    const inGroups = await run(small);
    expect(work.mock.calls.length).toBeGreaterThan(1);
    expect(work.mock.calls.length).toBeLessThan(samples.length);
    work.mockRestore();
    expect(gpu.pool.statistics.peakUsedBytes).toBeLessThan(2_000_000);
    expect(inGroups).toEqual(await run(model));
  });

  test.each([0, 1.5])('%d new tokens: refused', async (maxNewTokens) => {
    await expect(model.generate([golden.sample('case0', 'clean')], { maxNewTokens })).rejects.toThrow(
      expect.objectContaining({ code: 'usage' }),
    );
  });

  describe('hooks', () => {
    const steps = 3;

    const edited = (samples: readonly Sample[], interventions: readonly Intervention[]) =>
      generateWithHooks(model, samples, { interventions, maxNewTokens: steps, keepLogits: true });

    test.each<[string, Intervention]>([
      ['hook_mlp_out', scale({ hook: 'language.blocks.1.hook_mlp_out' }, 0.25)],
      ['hook_rot_k', scale({ hook: 'language.blocks.0.attn.hook_rot_k', heads: [2] }, 2)],
      ['hook_pattern', zero({ hook: 'language.blocks.2.attn.hook_pattern', heads: [1, 4] })],
      ['hook_embed', scale({ hook: 'language.hook_embed' }, 0.5)],
      ['logits', scale({ hook: 'logits' }, -1)],
    ])('an edit of every position of %s acts on the prompt and on every new position', async (_, edit) => {
      const sample = golden.sample('case0', 'clean');
      const [answer] = await edited([sample], [edit]);
      const plain = await model.generate([sample], { maxNewTokens: steps, keepLogits: true });
      expect(answer?.logits).not.toEqual(plain[0]?.logits);
      expect(answer?.logits.length).toBeGreaterThan(1);
      for (const [step, row] of (answer?.logits ?? []).entries()) {
        const ids = [...sample.ids, ...(answer?.ids.slice(0, step) ?? [])];
        const [whole] = await runWithHooks(model, [{ ...sample, ids }], { interventions: [edit] });
        expectSameBits(row, whole as Float32Array, { name: `step ${step}` });
      }
    });

    test('an edit of one prompt position of one sequence stays in the cache of keys and values', async () => {
      const samples = [golden.sample('case0', 'clean'), golden.sample('case2', 'clean')];
      const edit = zero({ hook: 'language.blocks.2.attn.hook_v', run: 1, positions: [40], heads: [3] });
      const answers = await edited(samples, [edit]);
      const plain = await model.generate(samples, { maxNewTokens: steps, keepLogits: true });
      expect(answers[0]).toEqual(plain[0]);
      const { ids = [], logits = [] } = answers[1] ?? {};
      expect(logits).not.toEqual(plain[1]?.logits);
      for (const [step, row] of logits.entries()) {
        const whole = {
          ...(samples[1] as Sample),
          ids: [...(samples[1] as Sample).ids, ...ids.slice(0, step)],
        };
        const [expected] = await runWithHooks(model, [whole], { interventions: [{ ...edit, run: 0 }] });
        expectSameBits(row, expected as Float32Array, { name: `step ${step}` });
      }
    });
  });
});
