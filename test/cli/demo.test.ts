// `notice demo`, which `npm run demo` calls: a finding first, then an experiment, then what a full one would add.

import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freshFolder } from '../notice/datasets/support.ts';
import { run } from './support.ts';

test('demo: the answer without and with a patch, a map, then the experiment', async () => {
  const cwd = await freshFolder();
  const { stdout } = await run(['demo', '--samples', '2', '--out', 'results'], { cwd });
  const [finding = '', experiment = ''] = stdout.split('The same with 2 pairs of each of 3 tasks');
  expect(finding).toMatch(/GFLOP\/s in products of matrices/);
  expect(finding).toMatch(/003_clean\.png +orange\n.*003_corrupt\.png +blue\n/);
  expect(finding).toMatch(/cross_attn\.hook_z +\|.*\| 3 star +\| +\d/s);
  expect(finding).toMatch(/blocks\.0\.cross_attn\.hook_z of the first at "star": +orange\n/);
  expect(experiment).toMatch(/Strongest heads at the correct option/);
  expect(experiment).toMatch(/A full run takes 60 pairs.* about .*\n +npx notice run --out results-full/);
  await access(join(cwd, 'results/report.html'));
});
