import { playwright } from '@vitest/browser-playwright';
import { defineConfig } from 'vitest/config';
import { bundledChromium, launchOptions } from './test/support/browser.ts';

export default defineConfig({
  test: {
    // Kernels are compiled and run on the CPU where there is no GPU: slow, and slower still beside other work.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: 'node',
          include: ['test/**/*.test.ts'],
          exclude: ['test/browser/**'],
          environment: 'node',
        },
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
});
