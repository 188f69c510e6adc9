// Runs one file of tests and says what failed.
//   node run-tests.mjs matmul.test.mjs [--json FILE]
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { startTests } from '@vitest/runner';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: 'string' } },
});
const file = resolve(import.meta.dirname, positionals[0]);
// Tests name files from the root of the tree.
process.chdir(join(import.meta.dirname, '../..'));

const start = performance.now();
const [suite] = await startTests([file], {
  config: {
    ...{ root: process.cwd(), name: undefined, setupFiles: [], passWithNoTests: false, allowOnly: false },
    ...{ testNamePattern: undefined, includeTaskLocation: false, chaiConfig: undefined, retry: 0 },
    ...{ maxConcurrency: 1, testTimeout: 240_000, hookTimeout: 240_000 },
    ...{ tags: [], tagsFilter: undefined, strictTags: false },
    sequence: { shuffle: false, concurrent: false, seed: 1, hooks: 'stack', setupFiles: 'list' },
  },
  importFile: (path) => import(pathToFileURL(path).href),
  // What a test has to know of itself: expect() asks for its name.
  extendTaskContext: (context) => context,
});

const counts = { pass: 0, fail: 0, skip: 0 };
const failures = [];
function visit(task, path) {
  const name = [...path, task.name];
  for (const error of task.result?.errors ?? [])
    failures.push({
      test: name.slice(1).join(' > '),
      message: error.message,
      stack: error.stack?.split('\n').slice(0, 6),
    });
  if (task.type === 'suite') for (const child of task.tasks) visit(child, name);
  else counts[task.result?.state ?? 'skip']++;
}
visit(suite, []);
const seconds = (performance.now() - start) / 1000;
console.log(`${counts.pass} passed, ${counts.fail} failed, ${counts.skip} skipped, ${seconds.toFixed(1)} s`);
for (const { test, message } of failures) console.log(`  ${test}: ${message}`);
if (options.json) writeFileSync(options.json, JSON.stringify({ ...counts, failures, seconds }));
process.exit(failures.length > 0 ? 1 : 0);
