// The process that runs tests: one vitest that stays open, with a new worker for every request.

import { createVitest, type TestSpecification } from 'vitest/node';

/** Some tests of a file; all of them without `ids`. */
export interface TestChoice {
  /** From the copy's root. */
  readonly file: string;
  readonly ids?: readonly string[];
}

export interface Request {
  readonly tests: readonly TestChoice[];
  /** Files that have other text than before. */
  readonly changed: readonly string[];
  /** Go on after a failure. */
  readonly all?: boolean;
}

/** The first test that failed, if one did. */
export interface Answer {
  readonly failed: string | undefined;
}

/** Serves requests of the parent process until it goes. */
export async function host(root: string): Promise<void> {
  const vitest = await createVitest('test', {
    root,
    config: `${root}/test/mutants/vitest.config.ts`,
    watch: false,
    reporters: [{}],
  });
  await vitest.standalone();
  const answer = async ({ tests, changed, all }: Request): Promise<Answer> => {
    for (const file of changed) vitest.invalidateFile(`${root}/${file}`);
    vitest.config.bail = all ? 0 : 1;
    for (const { config } of vitest.projects) config.bail = all ? 0 : 1;
    const specifications = tests.flatMap(({ file, ids }): TestSpecification[] =>
      vitest
        .getModuleSpecifications(`${root}/${file}`)
        .map(({ project, moduleId }) =>
          project.createSpecification(moduleId, ids ? { testIds: [...ids] } : undefined),
        ),
    );
    if (specifications.length === 0) throw new Error(`no test files: ${JSON.stringify(tests)}`);
    const { testModules, unhandledErrors } = await vitest.runTestSpecifications(specifications);
    for (const module of testModules) {
      for (const test of module.children.allTests('failed'))
        return { failed: `${test.module.relativeModuleId} › ${test.fullName}` };
      if (module.state() === 'failed') return { failed: `${module.relativeModuleId}, outside of its tests` };
    }
    return {
      failed: unhandledErrors.length > 0 ? `an unhandled error: ${String(unhandledErrors[0])}` : undefined,
    };
  };
  process.on('message', (request: Request) => {
    answer(request).then(
      (result) => process.send?.(result),
      (error: unknown) => process.send?.({ failed: undefined, error: String(error) }),
    );
  });
  process.on('disconnect', () => process.exit());
  process.send?.({ ready: true });
}
