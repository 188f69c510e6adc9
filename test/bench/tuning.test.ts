// `notice bench --tune`, in Node and in a page.

import { expect, test, vi } from 'vitest';
import { gainOfMatrices, type TuningResult, tuneKernels, tuningBlock } from '../../src/bench/index.ts';
import { chooseMatmul, row, tile } from '../../src/kernels/matmul-variant.ts';
import { testGpu } from '../support/gpu.ts';

const usual = { variant: row(4, 32, 4), ms: 0.1 };
const faster = { variant: tile([1, 1], [16, 1], 64, 32), ms: 0.05 };
const result = (key: string, chosen: typeof usual | typeof faster, matrixMs?: number): TuningResult => ({
  ...{ key, m: 1, n: 4096, k: 4096, type: 'f16', times: [usual, faster], chosen },
  ...(matrixMs !== undefined && { matrices: { ms: matrixMs, error: 2e-7 } }),
});

test('the block for an issue has a row for every choice', () => {
  const block = tuningBlock([['adapter', 'a GPU']], [result('gpu matmul row f16', faster)]);
  expect(block.split('\n')).toEqual([
    '- adapter: a GPU',
    '',
    '| choice             | m × k × n       | default, ms | GFLOP/s | fastest                    | ms    | GFLOP/s |',
    '| ------------------ | --------------- | ----------- | ------- | -------------------------- | ----- | ------- |',
    '| gpu matmul row f16 | 1 × 4096 × 4096 | 0.100       | 336     | matmul_tile 1 1 1 16 64 32 | 0.050 | 671     |',
    '',
  ]);
});

test('what matrix units would gain is over the fastest of the other kernels', () => {
  const results = [result('a', faster, 0.1), result('b', faster, 0.025), result('c', usual, 0.08)];
  expect(gainOfMatrices(results)).toMatch(/^With --subgroup-matrices 2 of 3 .* 2\.00 times \(b\)/);
  expect(gainOfMatrices([result('a', faster, 0.1)])).toMatch(/^No product is faster/);
  const block = tuningBlock([], results);
  expect(block).toMatch(/\| matrix units, ms \| times as fast \| error of max \|$/m);
  expect(block).toContain('With --subgroup-matrices 2 of 3');
});

test('measures every candidate and keeps a winner or the default', async () => {
  const gpu = await testGpu();
  const told: string[] = [];
  const { table, results } = await tuneKernels(gpu, {
    rounds: 1,
    only: / row (f32|f16)$/,
    onResult: ({ key }) => told.push(key),
  });
  expect(told).toEqual(results.map(({ key }) => key));
  expect(results.map(({ type }) => type)).toEqual(['f32', 'f16']);
  for (const { key, m, n, type, times, chosen } of results) {
    expect(times.length).toBeGreaterThan(1);
    expect(times[0]?.variant).toEqual(chooseMatmul({ ...gpu.capabilities, tuning: {} }, m, n, type));
    expect(table[key]).toBe(chosen === times[0] ? undefined : chosen.variant);
    expect(chosen.ms).toBeLessThanOrEqual(times[0]!.ms);
  }
});

test('a candidate with other bits is refused', async () => {
  const gpu = await testGpu();
  const work = gpu.work.bind(gpu);
  // The first product is the default's, the second a candidate's: it reads A from another place.
  const spy = vi.spyOn(gpu, 'work').mockImplementation((body, options) =>
    work((w) => {
      const dispatch = w.dispatch.bind(w);
      let products = 0;
      w.dispatch = (source, buffers, params, ...rest) =>
        dispatch(source, buffers, products++ === 1 ? { ...params, aOffset: 4 } : params, ...rest);
      return body(w);
    }, options),
  );
  const tuned = tuneKernels(gpu, { rounds: 1, only: / row f32$/ });
  await expect(tuned).rejects.toMatchObject({
    code: 'control',
    message: expect.stringMatching(/ row f32: element \d+ of matmul_/),
  });
  spy.mockRestore();
});
