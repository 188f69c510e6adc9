import { expect, it } from 'vitest';
import type { Gpu, Tensor, Work } from '../../src/gpu/index.ts';
import {
  activate,
  addPositions,
  addRows,
  blendRows,
  customHook,
  embedImage,
  embedTokens,
  gatherRows,
  imagePatches,
  intervene,
  logSumExp,
  matmul,
  meanRows,
  metricValues,
  normalize,
  normalizeHeads,
  planAttention,
  releasePlan,
  restoration,
  uploadPlan,
} from '../../src/kernels/index.ts';
import { testGpu, testWork } from '../support/gpu.ts';
import { uploadQuantized } from './quantized-support.ts';
import { uploadVector, uploadWeight } from './support.ts';

/**
 * Bytes in use that `work` leaves behind when it is done again, apart from the tensors it returns: what it shares with others that
 * ask for the same table is kept the first time.
 */
function left(gpu: Gpu, w: Work, work: () => readonly Tensor[]): number {
  w.release(...work());
  const before = gpu.pool.statistics.usedBytes;
  w.release(...work());
  return gpu.pool.statistics.usedBytes - before;
}

it('kernels keep nothing but their results: the tables they upload go back to the pool', async () => {
  const [gpu, w] = [await testGpu(), await testWork()];
  const rows = [1, 2, 3, 4].map((value) => [value, value, value, value]);
  const weight = uploadWeight(w, rows);
  const quantized = uploadQuantized(w, rows, 'nf4');
  const vector = uploadVector(w, [1, 2, 3, 4]);
  const fired = w.uploadWords(new Uint32Array(1), 'fired');
  const x = w.upload(new Float32Array(16), 4, 4, 'x');
  const scores = w.upload(new Float32Array(6), 2, 3, 'scores');
  const pixels = w.upload(new Float32Array(12), 1, 12, 'pixels');
  const patches = w.upload(new Float32Array(12), 3, 4, 'patches');
  const edit = { row: 0, firstColumn: 0, columns: 4, source: 1, alpha: 1, counter: 0 };
  const calls: Record<string, () => readonly Tensor[]> = {
    matmul: () => [matmul(w, x, weight, { bias: vector })],
    'matmul with a quantised weight': () => [matmul(w, x, quantized)],
    activate: () => [activate(w, x, 'gelu')],
    normalize: () => [normalize(w, x, { scale: vector, eps: 1 })],
    normalizeHeads: () => {
      normalizeHeads(w, x, 1, { scale: vector, eps: 1 });
      return [];
    },
    gatherRows: () => [gatherRows(w, x, Uint32Array.of(1), w.empty(1, 4, 'out'))],
    meanRows: () => [meanRows(w, x, [[0, 1]])],
    blendRows: () => {
      const out = w.empty(4, 4, 'out');
      blendRows(w, x, [[0, 1, 2, 3].map((row) => [row, 0.25])], out);
      return [out];
    },
    embedTokens: () => [embedTokens(w, [1, 2], weight, [0, 1], weight)],
    embedImage: () => [embedImage(w, patches, vector, weight)],
    addPositions: () => [addPositions(w, x, weight, new Array(x.rows).fill(new Array(4).fill([0, 0.25])))],
    addRows: () => {
      addRows(w, x, patches, Uint32Array.of(0, 1));
      return [];
    },
    imagePatches: () => [imagePatches(w, pixels, 2, 2, 1)],
    logSumExp: () => [logSumExp(w, x, [[0]])],
    restoration: () => [restoration(w, scores, [{ patched: 0, corrupt: 1, clean: 0 }])],
    metricValues: () => [
      metricValues(w, x, scores, [
        { logits: 0, scores: 0, metric: { kind: 'weights', weights: new Float32Array(4) } },
      ]),
    ],
    intervene: () => {
      intervene(w, x, 'replace', [edit], fired);
      return [];
    },
    customHook: () => {
      customHook(w, x, 4, [{ row: 0, batch: 0, position: 0 }], 'return value;');
      return [];
    },
    'attention tables': () => {
      const plan = planAttention(
        [{ keys: Uint32Array.of(0, 1), queries: [{ query: 0, out: 0, first: 1, keys: 2 }] }],
        1,
        1,
      );
      releasePlan(w, uploadPlan(w, plan));
      return [];
    },
  };
  const kept = Object.entries(calls).map(([name, call]) => [name, left(gpu, w, call)]);
  expect(kept).toEqual(Object.keys(calls).map((name) => [name, 0]));
  await w.finish();
});
