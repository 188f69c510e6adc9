// Edge attribution: against torch's autograd, against the attribution of whole nodes, and beside exact paths.

import { describe, expect, test } from 'vitest';
import { spearman } from '../../src/analysis/statistics.ts';
import {
  edgeAttribution,
  logitDifference,
  pathPatching,
  runWithCache,
  runWithGradients,
} from '../../src/patching/index.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import { asFloat32, readTensors } from '../../src/weights/index.ts';
import { expectClose } from '../support/close.ts';
import { fixture, Golden, loadFixtureModel } from '../support/golden.ts';
import { GRADIENT } from '../support/gradient-golden.ts';
import { caseJob, expectNoticeError } from './support.ts';

async function open(folder: string, id: string) {
  const { sites: _, ...pair } = caseJob(await Golden.open(folder), id, []);
  return { model: await loadFixtureModel(folder), pair };
}

test.each(['case0', 'case2'])(
  'llava-tiny, %s: the scores of all edges are those of torch.autograd',
  async (id) => {
    const { model, pair } = await open('llava-tiny', id);
    const source = await fileSource(fixture('edges/llava-tiny.safetensors'));
    const tensors = await readTensors(source);
    await source.close();
    for (const [name, integrated] of [
      ['edges', undefined],
      ['ig3', 3],
    ] as const) {
      const { senders, receivers, data } = await edgeAttribution(model, pair, { integrated });
      const tensor = tensors.get(`${id}/${name}`)!;
      expect([senders.length, receivers.length]).toEqual(tensor.shape);
      expectClose(data, asFloat32(tensor, name), { ofMax: GRADIENT, name, shape: tensor.shape });
    }
  },
);

describe.each(['llava-tiny-gqa', 'qwen2_vl-tiny', 'smolvlm-tiny', 'paligemma-tiny'])('%s', (folder) => {
  test('the edges of a sender add up to the attribution of the sender', async () => {
    const { model, pair } = await open(folder, 'case0');
    const { senders, receivers, data } = await edgeAttribution(model, pair);
    const names = [...new Set(senders.map(({ hook }) => hook))];
    const clean = await runWithCache(model, [pair.clean], { names });
    const metric = logitDifference(pair.correct, pair.incorrect);
    const found = await runWithGradients(model, [pair.corrupt], { metric, names });
    const sums: number[] = [];
    const nodes: number[] = [];
    const sizes: number[] = [];
    for (const [s, { hook, heads }] of senders.entries()) {
      const own = data.subarray(s * receivers.length, (s + 1) * receivers.length);
      const [head] = heads ?? [0];
      const { size, heads: count } = found.cache.get(hook);
      const [after, before, slope] = await Promise.all([
        clean.cache.read(hook),
        found.cache.read(hook),
        found.gradients.read(hook),
      ]);
      let node = 0;
      for (let i = 0; i < slope.length; i++)
        if (!heads || Math.floor(i / size) % count === head) node += (after[i]! - before[i]!) * slope[i]!;
      sums.push(own.reduce((a, b) => a + b, 0));
      nodes.push(node);
      sizes.push(own.reduce((a, b) => a + Math.abs(b), 0));
    }
    // f32 on two ways; the terms of a sum may cancel.
    expectClose(sums, nodes, { atol: GRADIENT * Math.max(...sizes) });
    expect(Math.max(...nodes.map(Math.abs))).toBeGreaterThan(0.01);
    clean.cache.release();
    found.release();
  });
});

test('llava-tiny: edges rank as their exact paths do, on the whole', async () => {
  const { model, pair } = await open('llava-tiny', 'case0');
  const all = await edgeAttribution(model, pair);
  // A part of the 927 edges; of all the correlation is 0.936.
  const senders = all.senders.filter((_, i) => i % 3 === 0);
  const receivers = all.receivers.filter((_, i) => i % 3 === 0);
  const data = senders.flatMap((_, s) =>
    receivers.map((_, r) => all.data[3 * s * all.receivers.length + 3 * r] as number),
  );
  const [exact] = await pathPatching(model, [{ ...pair, senders, receivers }], { controls: false });
  const reached = Array.from(exact!.reached, (count) => count > 0);
  const estimates = data.filter((_, i) => reached[i]).map(Math.abs);
  const effects = data.flatMap((_, i) => (reached[i] ? [Math.abs(exact!.data[4 * i + 2]!)] : []));
  // Where no way leads both are 0.
  expect(reached.every((leads, i) => leads || data[i] === 0)).toBe(true);
  expect(estimates.length).toBeGreaterThan(80);
  expect(spearman(estimates, effects)).toBeGreaterThan(0.85);
});

test('towers whose stream is no sum are refused', async () => {
  for (const folder of ['blip-tiny', 'gemma3-tiny']) {
    const { model, pair } = await open(folder, 'case0');
    await expectNoticeError(
      () => edgeAttribution(model, pair),
      'usage',
      /edges need a tower whose stream is the sum/,
    );
  }
  const { model, pair } = await open('llava-tiny', 'case0');
  await expectNoticeError(() => edgeAttribution(model, pair, { integrated: 0 }), 'usage', /integrated/);
  await expectNoticeError(
    () => edgeAttribution(model, pair, { steps: 3 } as never),
    'usage',
    /no field "steps"/,
  );
});
