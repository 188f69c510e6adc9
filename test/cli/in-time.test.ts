// What is wrong with an experiment is said before its folder is begun and before a question is asked.

import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freshFolder } from '../notice/datasets/support.ts';
import { notice, SHAPES } from './support.ts';

const RUN = ['run', '--model', SHAPES, '--samples', '2', '--out', 'results'];

test.each([
  [
    ['--head-site', 'text_encoder.cros_attn.hook_z'],
    /unknown site "text_encoder\.cros_attn\.hook_z".*text_encoder\.cross_attn\.hook_z/,
  ],
  [['--head-site', 'text_encoder.hook_mlp_out'], /hook_mlp_out has no heads/],
  [['--sites', 'text_encoder.hook_mlp'], /unknown site "text_encoder\.hook_mlp"/],
  [['--data', 'nowhere.csv'], /nowhere\.csv/],
] as const)('%j', async (options, message) => {
  const folder = await freshFolder();
  const outcome = await notice([...RUN, ...options], { cwd: folder });
  expect(outcome).toMatchObject({ status: 1, stderr: expect.stringMatching(message) });
  expect(await readdir(folder)).toEqual([]);
});

test('a folder of other things is not made a results folder', async () => {
  const folder = await freshFolder();
  await mkdir(join(folder, 'results'));
  await writeFile(join(folder, 'results/thesis.tex'), '');
  expect(await notice(RUN, { cwd: folder })).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/results is no results folder, but holds 1 other files \(thesis\.tex\)/),
  });
  expect(await readdir(join(folder, 'results'))).toEqual(['thesis.tex']);
});
