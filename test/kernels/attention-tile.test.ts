// The kernel of scores that GPUs get gives the same bits as the one that the test device gets. What they must be is
// tested in attention.test.ts.

import { expect, it } from 'vitest';
import { attentionScores, planAttention, type ScoresKernel, uploadPlan } from '../../src/kernels/index.ts';
import { expectSameBits } from '../support/close.ts';
import { testWork } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { all, layGroups } from './attention-support.ts';
import { read, uploadWindow } from './support.ts';

// One tile of keys and more; heads that fill the features read at a time, fill quads only, and neither; shared key heads.
it.each([
  { tokens: 70, headSize: 64, heads: 2, keyHeads: 2 },
  { tokens: 13, headSize: 40, heads: 4, keyHeads: 2 },
  { tokens: 65, headSize: 10, heads: 1, keyHeads: 1 },
])('scores of $tokens tokens, $heads heads of $headSize', async ({ tokens, headSize, heads, keyHeads }) => {
  const w = await testWork();
  const random = new Random(tokens);
  const margins = { left: 4, right: 4, above: 1 };
  const q = uploadWindow(w, random.matrix(tokens, heads * headSize), margins);
  const k = uploadWindow(w, random.matrix(tokens, keyHeads * headSize), margins);
  const shape = { heads, keyHeads, headSize };
  // Two lists of keys, each query seeing what stands before it.
  const seen = (query: number) => query + 1;
  const plan = planAttention(
    layGroups([
      [all(tokens), all(tokens), seen],
      [all(9), random.permutation(tokens), seen],
    ]),
    heads,
    40_000,
  );
  const tables = uploadPlan(w, plan);
  const scores = async (kernel: ScoresKernel) =>
    Promise.all(plan.chunks.map((chunk) => read(w, attentionScores(w, q, k, shape, tables, chunk, kernel))));
  const usual = await scores('attention_scores');
  const tiled = await scores('attention_scores_tile');
  expect(usual.length).toBe(plan.chunks.length);
  tiled.forEach((values, i) => {
    expectSameBits(values, usual[i] as Float32Array, { name: `chunk ${i}` });
  });
});
