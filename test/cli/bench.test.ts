// `notice bench`: measurements of this adapter.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { notice, runProcess, useBuilt } from './support.ts';

useBuilt();

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-bench-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('bench: a kernel is checked, timed, and written as JSON', async () => {
  const json = join(folder, 'bench.json');
  const args = ['bench', 'kernels', '--only', '^matmul 64 ', '--rounds', '2', '--json', json];
  const { stdout } = await runProcess(args);
  expect(stdout).toMatch(/matmul 64 × 128 × 128 f32 .*GFLOP\/s .*% of peak/);
  const { machine, peak, kernels } = JSON.parse(await readFile(json, 'utf8'));
  expect(machine.adapter.description).toMatch(/\w/);
  expect(machine.versions['webgpu (Dawn)']).toMatch(/^\d+\.\d+\.\d+$/);
  expect(kernels).toHaveLength(1);
  const [{ ms, flops, share }] = kernels;
  expect(flops).toBeCloseTo((1000 * 2 * 64 * 128 * 128) / ms, -3);
  expect(share).toBeCloseTo(flops / peak.flops, 9);
});

test('bench --tune keeps its choices where openGpu finds them', async () => {
  const env = { XDG_CACHE_HOME: folder };
  const { stdout } = await runProcess(['bench', '--tune', '--only', ' row f32$', '--rounds', '1'], { env });
  const [, file = ''] = / → (.*\.json)\n/.exec(stdout) ?? [];
  expect(file.startsWith(folder)).toBe(true);
  // The block for an issue: what the figures depend on, then a row for every choice.
  expect(stdout).toMatch(/^- adapter and driver: .*\w/m);
  expect(stdout).toMatch(/^\| choice +\| m × k × n +\| default, ms/m);
  expect(stdout).toMatch(/^\| software(-\d+)? matmul row f32 \| 1 × 768 × 3072 +\| +[\d.]+ +\| +[\d.]+ +\|/m);
  expect(Object.keys(JSON.parse(await readFile(file, 'utf8'))).every((key) => / row f32$/.test(key))).toBe(
    true,
  );
});

test.each([
  [['bench', 'kernel'], /unknown part kernel; there are kernels, blocks, forward, sweep/],
  [['bench', '--only', '['], /--only: .*[Rr]egular expression/],
])('%j is a mistake in the command line', async (args, message) => {
  expect(await notice(args)).toMatchObject({ status: 2, stderr: expect.stringMatching(message) });
});
