import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { bundledChromium, launchOptions } from './test/support/browser.ts';
// Writes src/kernels/generated, which tests import and git does not hold.
import './tools/embed-shaders.mjs';

const files = readdirSync(join(import.meta.dirname, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts') && !file.startsWith('browser'))
  .map((file) => join('test', file));
/** Files that put other modules in the place of ours, or measure their process. */
const alone = files.filter((file) =>
  /vi\.mock\(|Needs a process of its own/.test(readFileSync(join(import.meta.dirname, file), 'utf8')),
);

/** What takes longest starts first, so that no worker ends long after the others. */
const LONGEST = /test\/(notice\/(shapes|experiment)|cli\/(killed|experiment|models))\.test/;

class LongestFirst extends BaseSequencer {
  override async sort(specifications: TestSpecification[]): Promise<TestSpecification[]> {
    // Files alone come last: a process that files share ends where one of those follows.
    const rank = ({ moduleId, project }: TestSpecification) =>
      LONGEST.test(moduleId) ? 0 : project.name === 'node-alone' ? 2 : 1;
    return (await super.sort(specifications)).sort((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig(({ mode }) => ({
  test: {
    // The tests' servers are on this machine; proxies of the environment are for others.
    env: { no_proxy: '127.0.0.1,localhost', ...(mode === 'long' && { NOTICE_TEST_LONG: '1' }) },
    // Kernels are compiled and run on the CPU where there is no GPU: slow, and slower still beside other work.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: files.filter((file) => !alone.includes(file)),
          // Files share a process, and in it a device with its compiled kernels: compiling takes most of their time.
          isolate: false,
          environment: 'node',
        },
      },
      {
        extends: true,
        test: { name: 'node-alone', include: alone, environment: 'node' },
      },
      {
        extends: true,
        // Prepared before the tests start: the server reloads the page when it meets a package in the middle of one.
        optimizeDeps: { include: ['@huggingface/tokenizers', 'picomatch'] },
        test: {
          include: ['test/browser/**/*.test.ts'],
          globalSetup: ['test/support/browser.ts'],
          provide: { bundledChromium: bundledChromium() !== undefined },
          fileParallelism: false, // the pages would share one GPU process
          browser: {
            enabled: true,
            headless: true,
            screenshotFailures: false,
            connectTimeout: 120_000,
            provider: playwright({ launchOptions: launchOptions() }),
            instances: [{ browser: 'chromium', name: 'browser' }],
          },
        },
      },
    ],
  },
}));
