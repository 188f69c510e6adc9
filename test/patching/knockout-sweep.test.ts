// Knock-outs of many groups, windows and heads in one walk are what they are one by one, bit for bit.

import { describe, expect, test } from 'vitest';
import type { Sample, VisionLanguageModel } from '../../src/models/index.ts';
import {
  type EdgeGroup,
  KNOCKOUT_METRICS,
  knockout,
  knockoutSweep,
  logit,
  runWithHooks,
} from '../../src/patching/index.ts';
import { softmax } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { expectNoticeError } from './support.ts';

const range = (end: number, first = 0) => Array.from({ length: end - first }, (_, i) => first + i);

async function open(folder: string) {
  const golden = await Golden.open(folder);
  const { correct_token: correct, incorrect_token: incorrect } = golden.case('case0');
  return {
    golden,
    model: await loadFixtureModel(folder),
    job: { sample: golden.sample('case0', 'clean'), correct, incorrect },
  };
}

/** Groups of all kinds of a model. */
function groupsOf(model: VisionLanguageModel, { ids }: Sample): EdgeGroup[] {
  const last = ids.length - 1;
  const text = range(ids.length).filter((p) => p < last && ids[p] !== model.imageToken);
  const vision = model.towers[0] as string;
  return [
    // Learned queries read the picture for InstructBLIP.
    {
      name: 'image to last',
      from: 'image',
      to: [model.imageAttention.startsWith(model.promptTower) ? last : 1],
      windows: 3,
    },
    { name: 'image to all', from: 'image', windows: 2 },
    { from: text, to: [last], windows: [[0], [1, 0]], heads: [0, 2], eachHead: true },
    // The last position has no key left in its own attention: z is 0 there.
    { name: 'nothing to last', from: range(last + 1), to: [last] },
    { name: 'patches', attention: `${vision}.attn`, from: [1, 2], to: [0, 3], windows: 2 },
  ];
}

describe.each(['blip-tiny', 'llava-tiny-gqa', 'gemma3-tiny', 'smolvlm-tiny', 'instructblip-tiny'])(
  '%s',
  (folder) => {
    test('in one walk as by itself: the bits of `knockout`, and of whole passes one by one', async () => {
      const { model, job, golden } = await open(folder);
      const { sample, correct, incorrect } = job;
      const groups = groupsOf(model, sample);
      const other = golden.sample('case1', 'clean');
      const jobs = [
        { ...job, groups },
        { ...job, sample: other, groups: groupsOf(model, other).slice(0, 2) },
      ];
      const results = await knockoutSweep(model, jobs);
      const oneByOne = await knockoutSweep(model, jobs, { mode: 'one-by-one' });
      const split = await knockoutSweep(model, jobs, { cellsPerWalk: 3, repeat: 0 });
      results.forEach((result, j) => {
        result.groups.forEach(({ name, data, shape, edges }, i) => {
          for (const again of [oneByOne, split]) {
            expectSameBits(again[j]!.groups[i]!.data, data, { name, shape });
            expect(again[j]!.groups[i]!.edges).toEqual(edges);
          }
        });
        expect(result.controls!.noiseFloor).toBeLessThan(1e-3);
      });
      const [whole] = await runWithHooks(model, [sample], {});
      const { groups: found, baseline, logits } = results[0]!;
      expectSameBits(logits, whole!);
      const before = softmax(Array.from(whole!));
      expect(baseline.p).toBeCloseTo(before[correct]!, 6);
      for (const [g, { windows, heads, data, shape, edges }] of found.entries()) {
        const { from, to, attention, heads: chosen } = groups[g]!;
        expect(shape).toEqual([windows.length, ...(heads ? [heads.length] : []), KNOCKOUT_METRICS.length]);
        let at = 0;
        for (const layers of windows) {
          for (const head of heads ?? [undefined]) {
            const own = head === undefined ? chosen : [head];
            const cell = at++;
            const numbers = data.subarray(4 * cell, 4 * cell + 4);
            // Gemma 3: the image lies beyond a sliding window, so nothing is cut.
            if (edges[cell] === 0) {
              expect(Array.from(numbers.subarray(1))).toEqual([0, 0, 0]);
              continue;
            }
            const [cut] = await knockout(model, [sample], { from, to, attention, layers, heads: own });
            const after = softmax(Array.from(cut!));
            const p = after[correct]!;
            const effect = cut![correct]! - cut![incorrect]!;
            const ldBefore = whole![correct]! - whole![incorrect]!;
            // The logits are the same bits; f32 rounds their differences, and P by its exponential.
            expect(numbers[2]).toBe(Math.fround(Math.fround(effect) - Math.fround(ldBefore)));
            expectClose(
              [numbers[0]!, numbers[1]!, numbers[3]!],
              [p, p - before[correct]!, p / before[correct]! - 1],
              { atol: 2e-5 },
            );
          }
        }
        expect(Array.from(edges).some((count) => count > 0)).toBe(true);
      }
    });
  },
);

test('windows are the n blocks around each, cut off at the ends, of those that have the attention', async () => {
  const { model, job } = await open('llava-tiny-gqa');
  const last = job.sample.ids.length - 1;
  const windowsOf = async (windows: EdgeGroup['windows']) => {
    const groups = [{ from: [last - 1], to: [last], windows }];
    const [result] = await knockoutSweep(model, [{ ...job, groups }], { controls: false });
    const { layers, windows: found } = result!.groups[0]!;
    expect(layers).toEqual(typeof windows === 'object' ? [1, 1] : range(found.length));
    return found;
  };
  const layers = model.configs.find(({ name }) => name === 'language')!.layers;
  expect(await windowsOf(undefined)).toEqual(range(layers).map((l) => [l]));
  expect(await windowsOf(3)).toEqual(
    range(layers).map((l) => [l - 1, l, l + 1].filter((block) => block >= 0 && block < layers)),
  );
  // As in Geva et al.'s code, of an even number the one more lies before.
  expect(await windowsOf(2)).toEqual(range(layers).map((l) => (l === 0 ? [0] : [l - 1, l])));
  expect(await windowsOf(99)).toEqual(range(layers).map(() => range(layers)));
  expect(await windowsOf([[1], [0, 1]])).toEqual([[1], [0, 1]]);
});

test('where nothing is left to see, the answer is finite and the metric that of the run', async () => {
  const { model, job } = await open('llava-tiny');
  const { ids } = job.sample;
  const groups = [{ from: range(ids.length), windows: 99 }];
  const [result] = await knockoutSweep(model, [{ ...job, groups, metric: logit(job.correct) }]);
  const [cut] = await knockout(model, [job.sample], { from: range(ids.length) });
  const { data, shape, edges } = result!.groups[0]!;
  expect(cut!.every(Number.isFinite)).toBe(true);
  expect(shape[1]).toBe(2);
  expect(data[0]).toBe(cut![job.correct]);
  expect(data[1]).toBe(Math.fround(cut![job.correct]! - result!.logits[job.correct]!));
  // All edges of a causal tower: n (n + 1) / 2 in each block and head.
  const { layers, heads } = model.configs.find(({ name }) => name === 'language')!;
  expect(edges[0]).toBe((layers * heads * ids.length * (ids.length + 1)) / 2);
});

test('what cannot be is refused', async () => {
  const { model, job } = await open('llava-tiny');
  const last = job.sample.ids.length - 1;
  const of = (group: object, others: object = {}) => {
    const groups = [{ from: 'image' as const, to: [last] }, group as EdgeGroup];
    return () => knockoutSweep(model, [{ ...job, ...others, groups }]);
  };
  await expectNoticeError(
    of({ from: [last], to: [0, 1], name: 'backwards' }),
    'unfired',
    /job 0: backwards has no edge/,
  );
  await expectNoticeError(of({ from: [0], windows: 0 }), 'usage', /windows/);
  await expectNoticeError(of({ from: [0], windows: [] }), 'usage', /no windows/);
  await expectNoticeError(of({ from: [0], windows: [[]] }), 'usage', /a window without blocks/);
  await expectNoticeError(of({ from: [0], windows: [[9]] }), 'hook', /block 9 does not exist/);
  await expectNoticeError(of({ from: [0], heads: [9], eachHead: true }), 'hook', /head 9 does not exist/);
  await expectNoticeError(of({ from: [0], layers: [0] }), 'usage', /no field "layers"/);
  await expectNoticeError(of({ from: [0] }, { correct: job.incorrect }), 'usage', /job 0: both answers/);
});
