// Which tests a mutation must get past: those that come past its place, the nearest first.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path/posix';
import type { TestChoice } from './host.ts';

/** Folders of the tests that may kill. What is beyond them takes minutes. */
export const TESTS = ['analysis', 'weights', 'models', 'patching', 'inputs', 'hub'];

/** What the tests of a file come past. */
export interface Reached {
  readonly file: string;
  /** Before, between and after the tests. */
  readonly outside: readonly number[];
  readonly tests: Readonly<Record<string, { ids: readonly number[]; seconds: number; ok: boolean }>>;
  readonly seconds: number;
}

/** Who imports whom, among src and test. */
export class ImportGraph {
  readonly #importers = new Map<string, Set<string>>();

  constructor(root: string) {
    for (const folder of ['src', 'test'])
      for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
        if (!name.endsWith('.ts')) continue;
        const file = `${folder}/${name}`;
        const text = readFileSync(join(root, file), 'utf8');
        for (const [, target] of text.matchAll(/(?:from|import\(?)\s*'(\.[^']+)'/g)) {
          const imported = join(dirname(file), target!);
          const known = this.#importers.get(imported) ?? new Set();
          this.#importers.set(imported, known.add(file));
        }
      }
  }

  /** Files of src that import a file themselves. */
  direct(file: string): string[] {
    return [...(this.#importers.get(file) ?? [])].filter((importer) => importer.startsWith('src/'));
  }

  /** Test files that load a file, whatever lies between. */
  tests(file: string): string[] {
    const seen = new Set([file]);
    for (const known of seen) for (const importer of this.#importers.get(known) ?? []) seen.add(importer);
    return [...seen].filter((name) => name.endsWith('.test.ts'));
  }
}

/** The time that a worker takes to start and to load a file's modules. */
const START_SECONDS = 1;

export interface Chosen {
  readonly tests: readonly TestChoice[];
  /** Expected, of all of them. */
  readonly seconds: number;
  /** Test files that come past the place beyond what the time allows. */
  readonly leftOut: number;
}

/**
 * The tests that come past a place, as many as the time allows: the nearest files first, of those the ones that have caught
 * most for the time they take.
 *
 * @param caught how many mutants each file has caught
 * @param atLoad whether the place is run when its file is loaded: then all tests of all that load it are asked
 */
export function chooseTests(
  mutant: { readonly id: number; readonly file: string },
  atLoad: boolean,
  reached: readonly Reached[],
  graph: ImportGraph,
  limit: number,
  caught: ReadonlyMap<string, number>,
): Chosen {
  const worth = (file: string, seconds: number) => (1 + (caught.get(file) ?? 0)) / seconds;
  const loading = new Set(atLoad ? graph.tests(mutant.file) : []);
  const candidates = reached.flatMap(({ file, outside, tests }) => {
    const good = Object.entries(tests).filter(([, { ok }]) => ok);
    const past =
      loading.has(file) || outside.includes(mutant.id)
        ? good
        : good.filter(([, { ids }]) => ids.includes(mutant.id));
    if (past.length === 0) return [];
    const seconds = past.reduce((sum, [, test]) => sum + test.seconds, START_SECONDS);
    return [{ file, ids: past.map(([id]) => id), seconds, distance: distance(mutant.file, file) }];
  });
  candidates.sort((a, b) => a.distance - b.distance || worth(b.file, b.seconds) - worth(a.file, a.seconds));
  const chosen: TestChoice[] = [];
  let seconds = 0;
  for (const { file, ids, seconds: more } of candidates) {
    if (chosen.length > 0 && seconds + more > limit) continue;
    chosen.push({ file, ids });
    seconds += more;
  }
  return { tests: chosen, seconds, leftOut: candidates.length - chosen.length };
}

/** 0: named like the file; 1: in the folder that belongs to it; 2: elsewhere. */
export function distance(source: string, test: string): number {
  const folder = source.split('/')[1];
  if (test.split('/')[1] !== folder) return 2;
  return basename(test, '.test.ts') === basename(source, '.ts') ? 0 : 1;
}

/** Test files that load a file: first those that have changed between two commits, then the nearest. */
export function nearest(
  before: string,
  commit: string,
  file: string,
  graph: ImportGraph,
  reached: readonly Reached[],
  limit: number,
): { tests: TestChoice[]; seconds: number; leftOut: number } {
  const changed = execFileSync('git', ['diff', '--name-only', before, commit, '--', 'test'], {
    encoding: 'utf8',
  });
  const known = new Map(reached.map((entry) => [entry.file, entry.seconds]));
  const isNew = new Set(changed.split('\n'));
  const files = graph
    .tests(file)
    .filter((test) => TESTS.includes(test.split('/')[1]!))
    .map((test) => ({
      test,
      seconds: known.get(test) ?? 10,
      rank: 3 * (isNew.has(test) ? 0 : 1) + distance(file, test),
    }))
    .sort((a, b) => a.rank - b.rank || a.seconds - b.seconds);
  let seconds = 0;
  const tests: TestChoice[] = [];
  for (const { test, seconds: more } of files) {
    if (tests.length > 0 && seconds + more > limit) continue;
    tests.push({ file: test });
    seconds += more;
  }
  return { tests, seconds, leftOut: files.length - tests.length };
}
