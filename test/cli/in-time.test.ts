// What is wrong with an experiment is said before its folder is begun and before a question is asked.

import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Pair, readManifest, writeManifest } from '../../src/notice/datasets/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { notice, ROOT, run, SHAPES, smallManifest } from './support.ts';

const RUN = ['run', '--model', SHAPES, '--samples', '2', '--out', 'results'];

test.each([
  [
    ['--head-site', 'text_encoder.cros_attn.hook_z'],
    /unknown site "text_encoder\.cros_attn\.hook_z".*text_encoder\.cross_attn\.hook_z/,
  ],
  [['--head-site', 'text_encoder.hook_mlp_out'], /hook_mlp_out has no heads/],
  [['--sites', 'text_encoder.hook_mlp'], /unknown site "text_encoder\.hook_mlp"/],
  [['--data', 'nowhere.csv'], /nowhere\.csv/],
  [['--data', `${ROOT}data/scene.csv`], /Did you mean .*data\/scenes\.csv\?/],
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

describe('a manifest of six pairs that has its weaknesses', () => {
  let folder: string;

  /** "Is it A or B?" with the correct option first. */
  const oneWay = (pair: Pair): Pair => {
    const cleanPrompt = `is it a ${pair.correct} or ${pair.incorrect}?`;
    return { ...pair, cleanPrompt, corruptPrompt: cleanPrompt };
  };

  beforeEach(async () => {
    folder = await freshFolder();
    await smallManifest(folder, 'scenes', 6, 'own');
    const { pairs } = await readManifest(join(folder, 'own.csv'));
    await writeManifest(join(folder, 'own.csv'), pairs.map(oneWay));
  });

  const WEAKNESSES = [
    /own(\.csv)?: correct option first in 6 of 6\..*balanced selection has 0 pairs/,
    /own(\.csv)?: 6 of 6 pairs have no text corruption/,
  ];

  test('data check names them', async () => {
    const { stderr } = await run(['data', 'check', 'own.csv'], { cwd: folder });
    for (const weakness of WEAKNESSES) expect(stderr).toMatch(weakness);
  });

  test('run names them, and that one task has no universal heads, before it asks', async () => {
    const { stdout } = await notice([...RUN, '--data', 'own.csv', '--until', 'judge'], { cwd: folder });
    for (const weakness of [...WEAKNESSES, /There is one task: whether heads are universal/])
      expect(stdout).toMatch(weakness);
  });

  test('data check says nothing of the embedded sets', async () => {
    const { stderr } = await run(['data', 'check', ...['scenes', 'faces'].map((name) => `data/${name}.csv`)]);
    expect(stderr).toBe('');
  });
});

describe('a path that nearly exists', () => {
  test.each([
    [
      'a picture',
      ['generate', '--model', 'blip-shapes', '--image', 'data/scenes/002_claen.png', '--prompt', 'q'],
      'data/scenes/002_clean.png',
    ],
    ['a model', ['hooks', '--model', 'weights/blip-shape'], 'weights/blip-shapes'],
    ['an embedded model', ['hooks', '--model', 'blip-shape'], 'blip-shapes'],
    ['a manifest', ['data', 'check', 'dat/scene.csv'], 'data/scenes.csv'],
    [
      'tensors',
      ['trace', '--model', 'blip-shapes', '--inputs', 'weights/blip-shapes/model.safetensor', '--out', 'x'],
      'weights/blip-shapes/model.safetensors',
    ],
  ])('%s', async (_, args, meant) => {
    const { status, stderr } = await notice(args);
    expect(stderr).toContain(`Did you mean ${meant}?`);
    expect(status).toBe(1);
  });

  test('of nothing near nothing is said', async () => {
    const { stderr } = await notice(['data', 'check', 'nothing/like-this.csv']);
    expect(stderr).not.toContain('Did you mean');
  });
});

test('the embedded model is found by its name, from anywhere', async () => {
  const args = ['hooks', '--names', 'logits', '--model'];
  const here = await run([...args, SHAPES]);
  expect(await run([...args, 'blip-shapes'], { cwd: await freshFolder() })).toEqual(here);
});
