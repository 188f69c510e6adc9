import { defineConfig } from 'vitest/config';

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
    ],
  },
});
