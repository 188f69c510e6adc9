// The experiments in examples/paper are those of `notice reproduce --noise`.

import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { parseRun } from '../../src/cli/commands/run.ts';
import { PUBLISHED } from '../../src/notice/reproduce/published.ts';
import { PAPER_SAMPLES, runArguments } from '../../src/notice/reproduce/recipe.ts';
import { ROOT } from '../cli/support.ts';

const FOLDER = resolve(ROOT, 'examples/paper');

test.each(['blip', 'llava'])('%s.yaml', async (name) => {
  const found = await parseRun(['--config', `${FOLDER}/${name}.yaml`]);
  const published = PUBLISHED.find(({ model }) => model.includes(name));
  const recipe = runArguments({
    model: published?.model ?? '',
    folder: `${FOLDER}/data/${name}`,
    out: `${FOLDER}/results/${name}`,
    samples: PAPER_SAMPLES,
    noise: true,
  });

  expect(found).toEqual({
    config: `${FOLDER}/${name}.yaml`,
    ...(await parseRun([...recipe, '--template', 'paper'])),
  });
});
