// The process that runs tests: one vitest that stays open, with a new worker for every request.

import { createVitest, type Reporter, type TestSpecification } from 'vitest/node';

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
  /** Of the request that is served: vitest itself remembers those before. */
  let failed: string | undefined;
  const notice: Reporter = {
    onTestModuleEnd: (module) => {
      if (module.state() !== 'failed') return;
      const [first] = module.children.allTests('failed');
      failed ??= `${module.relativeModuleId} › ${first?.fullName ?? module.errors()[0]?.message}`;
    },
  };
  const vitest = await createVitest('test', {
    root,
    config: `${root}/test/mutants/vitest.config.ts`,
    watch: false,
    reporters: [notice],
  });
  await vitest.standalone();
  const answer = async ({ tests, changed, all }: Request): Promise<Answer> => {
    for (const file of changed) vitest.invalidateFile(`${root}/${file}`);
    for (const { config } of [vitest, ...vitest.projects]) config.bail = all ? 0 : 1;
    const specifications = tests.flatMap(({ file, ids }): TestSpecification[] =>
      vitest
        .getModuleSpecifications(`${root}/${file}`)
        .map(({ project, moduleId }) =>
          project.createSpecification(moduleId, ids ? { testIds: [...ids] } : undefined),
        ),
    );
    if (specifications.length === 0) throw new Error(`no test files: ${JSON.stringify(tests)}`);
    failed = undefined;
    const { unhandledErrors } = await vitest.runTestSpecifications(specifications);
    const [error] = unhandledErrors;
    return { failed: failed ?? (error === undefined ? undefined : `an unhandled error: ${String(error)}`) };
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
