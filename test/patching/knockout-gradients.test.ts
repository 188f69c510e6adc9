// The way back through attention some of whose edges are cut: where a query has no key left, nothing comes back, and no NaN.

import { expect, test } from 'vitest';
import { cutEdges, type Edges, logitDifference, runWithGradients } from '../../src/patching/index.ts';
import { directionals } from '../support/central-difference.ts';
import { expectClose } from '../support/close.ts';
import { Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';

const range = (end: number) => Array.from({ length: end }, (_, i) => i);

test.each<[string, string, (last: number) => Edges]>([
  [
    'llava-tiny-gqa',
    'language.blocks.1.attn',
    (last) => ({ from: range(last + 1), to: [last], layers: [1] }),
  ],
  ['gemma3-tiny', 'language.blocks.1.attn', () => ({ from: 'image', layers: [1] })],
  [
    'blip-tiny',
    'text_encoder.blocks.1.cross_attn',
    (last) => ({ from: 'image', to: [2, last], layers: [1] }),
  ],
])('%s: gradients behind a cut at %s are central differences', async (folder, prefix, edgesOf) => {
  const [golden, model] = [await Golden.open(folder), await loadFixtureModel(folder)];
  const { id, correct_token: correct, incorrect_token: incorrect } = golden.cases[0]!;
  const sample = golden.sample(id, 'clean');
  const last = sample.ids.length - 1;
  const interventions = cutEdges(model, sample, edgesOf(last));
  const [tower] = prefix.split('.');
  const names = [
    ...['q', 'k', 'v', 'z', 'pattern'].map((part) => `${prefix}.hook_${part}`),
    ...[0, 1].map((layer) => `${tower}.blocks.${layer}.hook_resid_pre`),
  ];
  const metric = logitDifference(correct, incorrect);
  const found = await runWithGradients(model, [sample], { metric, names, interventions });
  const numbers = await directionals(
    model,
    sample,
    found,
    { correct, incorrect },
    new Random(3),
    interventions,
  );
  for (const { name, gradient, difference, tolerance } of numbers) {
    expect(Number.isFinite(gradient), name).toBe(true);
    expectClose([gradient], [difference], { atol: tolerance, name });
  }
  expect(numbers.length).toBe(names.length);
  // A query that sees nothing has no part in the answer.
  if (folder !== 'gemma3-tiny') {
    const q = found.gradients.get(`${prefix}.hook_q`);
    const row = q.valuesOf(await q.read(), 0, last);
    expect(row.every((value) => value === 0)).toBe(true); // 0 or −0
  }
  found.release();
});
