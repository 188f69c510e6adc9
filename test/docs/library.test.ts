// The snippets of README, docs/library.md and docs/recipes.md are what they say: programs that compile under `strict` and run in
// a project with both packages out of their tarballs.

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { ROOT, useBuilt } from '../cli/support.ts';
import { packedProject } from '../support/packed.ts';
import { browserPrograms, faultsOf, nodePages, output, typescript } from './programs.ts';

useBuilt();
let project: string;
beforeAll(async () => {
  project = await packedProject();
});

test.each(nodePages)('the snippets of $page are a program, which runs', async ({ page, whole, run }) => {
  expect(await faultsOf(project, whole)).toEqual([]);
  const text = await output(project, run);
  const checks: Readonly<Record<string, () => void>> = {
    'README.md': () => expect(text).not.toBe(''),
    // The answers that stand as comments behind console.log.
    'docs/library.md': () => expect(text.split('\n')).toContain('heart'),
    'docs/recipes.md': () => {
      const [, seeing, blind] = /logit difference (\S+) without the image (\S+)/.exec(text) ?? [];
      expect(Number(seeing)).toBeGreaterThan(Number(blind));
      expect(text).toMatch(/image 0, .*row 7, column 7 \S+ \d/);
    },
  };
  checks[page]!();
});

test('docs/library.md in a browser compiles, page and worker', async () => {
  const { main, worker } = browserPrograms();
  for (const program of [main, worker]) {
    expect(program.text.length).toBeGreaterThan(200);
    expect(await faultsOf(project, program)).toEqual([]);
  }
});

test('what is not run is little, and says why', async () => {
  const pages = (await readdir(join(ROOT, 'docs')))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`);
  const run = nodePages.map(({ page }) => page);
  const left = ['README.md', ...pages]
    .flatMap(typescript)
    .filter(({ where, notRun }) => notRun !== undefined || !run.includes(where.replace(/:.*/, '')));
  for (const { where, notRun } of left) expect(notRun, where).toMatch(/^\w+ \w+/);
  expect(left.length).toBeLessThanOrEqual(5);
});
