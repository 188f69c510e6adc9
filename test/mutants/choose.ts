// Which tests a mutation must get past: those that come past its place, the nearest first.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path/posix';
import type { TestChoice } from './host.ts';

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
 * The tests that come past a place, nearest and shortest files first, as many as the time allows.
 *
 * @param atLoad whether the place is run when its file is loaded: then all tests of all that load it are asked
 */
export function chooseTests(
  mutant: { readonly id: number; readonly file: string },
  atLoad: boolean,
  reached: readonly Reached[],
  graph: ImportGraph,
  limit: number,
): Chosen {
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
  candidates.sort((a, b) => a.distance - b.distance || a.seconds - b.seconds);
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
