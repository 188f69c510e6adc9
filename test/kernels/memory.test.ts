import { expect, it } from 'vitest';
import type { Gpu, Tensor } from '../../src/gpu/index.ts';
import {
  activate,
  castDown,
  customHook,
  embedImage,
  embedTokens,
  gatherRows,
  imagePatches,
  intervene,
  logSumExp,
  matmul,
  meanRows,
  normalize,
  planAttention,
  releasePlan,
  restoration,
  uploadPlan,
} from '../../src/kernels/index.ts';
import { testGpu } from '../support/gpu.ts';
import { uploadQuantized } from './quantized-support.ts';
import { uploadVector, uploadWeight } from './support.ts';

/** Bytes in use that `work` leaves behind, apart from the tensors it returns. */
function left(gpu: Gpu, work: () => readonly Tensor[]): number {
  const before = gpu.pool.statistics.usedBytes;
  gpu.release(...work());
  return gpu.pool.statistics.usedBytes - before;
}

it('kernels keep nothing but their results: the tables they upload go back to the pool', async () => {
  const gpu = await testGpu();
  const rows = [1, 2, 3, 4].map((value) => [value, value, value, value]);
  const weight = uploadWeight(gpu, rows);
  const quantized = uploadQuantized(gpu, rows, 'nf4');
  const vector = uploadVector(gpu, [1, 2, 3, 4]);
  const fired = gpu.uploadWords(new Uint32Array(1), 'fired');
  const x = gpu.upload(new Float32Array(16), 4, 4, 'x');
  const scores = gpu.upload(new Float32Array(6), 2, 3, 'scores');
  const pixels = gpu.upload(new Float32Array(12), 1, 12, 'pixels');
  const patches = gpu.upload(new Float32Array(12), 3, 4, 'patches');
  const edit = { row: 0, firstColumn: 0, columns: 4, source: 1, alpha: 1, counter: 0 };
  const calls: Record<string, () => readonly Tensor[]> = {
    matmul: () => [matmul(gpu, x, weight, { bias: vector })],
    'matmul with a quantised weight': () => [matmul(gpu, x, quantized)],
    activate: () => [activate(gpu, x, 'gelu')],
    normalize: () => [normalize(gpu, x, { scale: vector, eps: 1 })],
    gatherRows: () => [gatherRows(gpu, x, Uint32Array.of(1), gpu.empty(1, 4, 'out'))],
    meanRows: () => [meanRows(gpu, x, [[0, 1]])],
    castDown: () => [castDown(gpu, x, 'f16')],
    embedTokens: () => [embedTokens(gpu, [1, 2], weight, [0, 1], weight)],
    embedImage: () => [embedImage(gpu, patches, vector, weight)],
    imagePatches: () => [imagePatches(gpu, pixels, 2, 2, 1)],
    logSumExp: () => [logSumExp(gpu, x, [[0]])],
    restoration: () => [restoration(gpu, scores, [{ patched: 0, corrupt: 1, clean: 0 }])],
    intervene: () => {
      intervene(gpu, x, 'replace', [edit], fired);
      return [];
    },
    customHook: () => {
      customHook(gpu, x, 4, [{ row: 0, batch: 0, position: 0 }], 'return value;');
      return [];
    },
    'attention tables': () => {
      const plan = planAttention(
        [{ keys: Uint32Array.of(0), queries: [{ query: 0, out: 0, keys: 1 }] }],
        1,
        1,
      );
      releasePlan(gpu, uploadPlan(gpu, plan));
      return [];
    },
  };
  const kept = Object.entries(calls).map(([name, call]) => [name, left(gpu, call)]);
  expect(kept).toEqual(Object.keys(calls).map((name) => [name, 0]));
  await gpu.finish();
});
