// The tests of Node as `npm test` runs them, in the order given and stopped at the first failure.

import { type ConfigEnv, defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import base from '../../vitest.config.ts';

class AsGiven extends BaseSequencer {
  override async sort(specifications: TestSpecification[]): Promise<TestSpecification[]> {
    return specifications;
  }
}

export default defineConfig((environment: ConfigEnv) => {
  const { test } = (base as (environment: ConfigEnv) => { test: Record<string, unknown> })(environment);
  const projects = test.projects as TestProjectInlineConfiguration[];
  return {
    test: {
      ...test,
      maxWorkers: 1,
      bail: 1,
      diff: { truncateThreshold: 20 }, // nobody reads it, and that of a long list takes minutes
      sequence: { sequencer: AsGiven },
      projects: projects
        .filter((project) => project.test?.name)
        .map((project) => ({
          ...project,
          test: { ...project.test, setupFiles: ['test/mutants/reached.setup.ts'] },
        })),
    },
  };
});
