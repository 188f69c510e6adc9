// Samples from tensor files, and what is said when files cannot be written.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { run } from '../../src/cli/main.ts';
import { checkOutput, samplesFrom, writeTensors } from '../../src/cli/tensors.ts';
import { expandImageTokens } from '../../src/inputs/index.ts';
import { PICTURE_TENSORS } from '../../src/models/sample-tensors.ts';
import type { HostTensor } from '../../src/weights/index.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-tensors-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const IMAGE = 9;

function inputs(ids: number[][], mask?: number[][]): Map<string, HostTensor> {
  const integers = (rows: number[][]): HostTensor => ({
    dtype: 'I32',
    shape: [rows.length, rows[0]?.length ?? 0],
    data: Int32Array.from(rows.flat()),
  });
  const pixels = new Float32Array(ids.length * 3);
  return new Map<string, HostTensor>([
    ['pixel_values', { dtype: 'F32', shape: [ids.length, 3, 1, 1], data: pixels }],
    ['input_ids', integers(ids)],
    ...(mask ? [['attention_mask', integers(mask)] as const] : []),
  ]);
}

const model = {
  expand: (ids: readonly number[]) => expandImageTokens(ids, IMAGE, [3]),
  tensors: PICTURE_TENSORS,
};

test('a mask of a prompt whose image token is not yet expanded is expanded with it', () => {
  const padded = inputs(
    [
      [0, 0, 1, IMAGE, 5],
      [1, IMAGE, 5, 6, 7],
    ],
    [
      [0, 0, 1, 1, 1],
      [1, 1, 1, 1, 1],
    ],
  );
  const { samples, length } = samplesFrom(padded, 'x', '', model);
  expect(samples[0]).toMatchObject({ ids: [1, IMAGE, IMAGE, IMAGE, 5], places: [2, 3, 4, 5, 6] });
  expect(samples[1]).toMatchObject({
    ids: [1, IMAGE, IMAGE, IMAGE, 5, 6, 7],
    places: [0, 1, 2, 3, 4, 5, 6],
  });
  expect(length).toBe(7);
});

test('a mask of a prompt that is expanded already stays as it is', () => {
  const ids = [0, 1, IMAGE, IMAGE, IMAGE, 5];
  const { samples, length } = samplesFrom(inputs([ids], [[0, 1, 1, 1, 1, 1]]), 'x', '', model);
  expect(samples[0]).toMatchObject({ ids: ids.slice(1), places: [1, 2, 3, 4, 5] });
  expect(length).toBe(6);
});

test('without a mask there are no places', () => {
  const { samples } = samplesFrom(inputs([[1, IMAGE, 5]]), 'x', '', model);
  expect(samples[0]?.places).toBeUndefined();
  expect(samples[0]?.ids).toEqual([1, IMAGE, IMAGE, IMAGE, 5]);
});

test('a file that cannot be written', async () => {
  const missing = join(folder, 'no', 'out.safetensors');
  await expect(checkOutput(missing)).rejects.toMatchObject({
    code: 'usage',
    message: `${missing} cannot be written: there is no folder ${join(folder, 'no')}`,
  });
  await expect(writeTensors(folder, [])).rejects.toMatchObject({
    code: 'file',
    message: expect.stringMatching(/ cannot be written: EISDIR/),
  });
});

test('control characters of a message do not reach the terminal', async () => {
  const said: string[] = [];
  const { error } = console;
  console.error = (text: string) => said.push(text);
  try {
    const inputs = join(folder, 'no\u001b[31m\u202efile');
    await run(['node', 'notice', 'trace', '--model', 'x', '--inputs', inputs, '--out', `${inputs}/x`]);
  } finally {
    console.error = error;
    process.exitCode = undefined;
  }
  expect(said.join()).toMatch(/^notice: .*no\ufffd\[31m\ufffdfile/);
  for (const character of ['\u001b', '\u202e']) expect(said.join()).not.toContain(character);
});
