// An evaluation that was ended goes on with the answers it had, and only asks what is open.

import { readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { loadModel, Processor } from '../../src/models/index.ts';
import { readManifest } from '../../src/notice/datasets/index.ts';
import { evaluatePairs } from '../../src/notice/experiment/evaluate.ts';
import { runInputs } from '../../src/notice/experiment/keys.ts';
import { OpenAnswers } from '../../src/notice/experiment/open-answers.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { nodeImages } from '../../src/platform/node/images.ts';
import { ROOT, run, SHAPES, smallManifest } from '../cli/support.ts';
import { testGpu } from '../support/gpu.ts';
import { freshFolder } from './datasets/support.ts';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test('what was answered before the end is not asked again', async () => {
  vi.stubEnv('XDG_CACHE_HOME', await freshFolder());
  const source = nodeFolder(SHAPES);
  const model = await loadModel(await testGpu(), source);
  const processor = await Processor.load(model, source);
  const all = (await readManifest(join(ROOT, 'data/faces.csv'))).pairs.slice(0, 19);
  const asked = vi.spyOn(model, 'generate');
  const samplesAsked = () => asked.mock.calls.reduce((sum, [samples]) => sum + samples.length, 0);
  const inputs = runInputs(model, processor, 'digest');
  const progress: number[] = [];
  const whole = await evaluatePairs(model, processor, nodeImages, all, {
    onProgress: (done) => progress.push(done),
  });
  // Within a batch, too, and never back.
  expect(progress.filter((done) => !Number.isInteger(done)).length).toBeGreaterThan(1);
  expect(progress).toEqual([...progress].sort((a, b) => a - b));
  expect(progress.at(-1)).toBe(all.length);
  asked.mockClear();
  // The first question by itself, then sixteen.
  const begun = await OpenAnswers.open(inputs);
  const add = vi.spyOn(begun, 'add');
  const onProgress = () => {
    if (add.mock.calls.length === 2) throw new Error('ended');
  };
  const options = { kept: begun, onProgress };
  await expect(evaluatePairs(model, processor, nodeImages, all, options)).rejects.toThrow('ended');
  expect(samplesAsked()).toBe(2 * 17);

  // As a crash within the last line leaves it.
  const { size } = await stat(begun.path);
  await truncate(begun.path, size - 5);
  asked.mockClear();
  const kept = await OpenAnswers.open(inputs);
  const { evaluations } = await evaluatePairs(model, processor, nodeImages, all, { kept });
  expect(samplesAsked()).toBe(2 * (19 - 16));
  expect(evaluations.map(({ id, answer }) => [id, answer])).toEqual(
    whole.evaluations.map(({ id, answer }) => [id, answer]),
  );
  // Other weights are another evaluation.
  expect((await OpenAnswers.open(runInputs(model, processor, 'other'))).size).toBe(0);
  await kept.remove();
  expect((await OpenAnswers.open(inputs)).size).toBe(0);
  model.destroy();
});

test('nothing is left of an evaluation that came to its end', async () => {
  const cache = await freshFolder();
  const folder = await freshFolder();
  await smallManifest(folder, 'faces', 2);
  vi.stubEnv('XDG_CACHE_HOME', cache);
  const { stderr } = await run(['evaluate', '--model', SHAPES, '--data', 'faces.csv'], { cwd: folder });
  expect(stderr).not.toContain('Goes on');
  expect(await readdir(join(cache, 'notice-webgpu/answers'))).toEqual([]);
});
