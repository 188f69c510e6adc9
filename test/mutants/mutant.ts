// The mutants of a campaign: drawn, found again in another commit, and counted.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { seeded } from '../../src/random.ts';
import { type Mutation, placesOf } from './operators.ts';

/** Folders whose files are mutated. */
const SOURCES = ['src/patching', 'src/analysis', 'src/models', 'src/weights'];

export type Status = 'killed' | 'timeout' | 'survived' | 'not reached' | 'does not compile' | 'gone';

export interface Outcome {
  readonly status: Status;
  /** The commit whose tests were asked. */
  readonly commit: string;
  /** The test that failed, or the compiler's words, or how many test files were left out. */
  readonly by?: string | undefined;
  readonly seconds: number;
}

export interface Mutant extends Mutation {
  readonly id: number;
  readonly file: string;
  readonly line: number;
  /** What goes. */
  readonly code: string;
  /** The text around it, by which it is found again in another commit. */
  readonly around: readonly [before: string, after: string];
  outcome?: Outcome;
}

export interface Campaign {
  readonly commit: string;
  readonly seed: number;
  readonly places: number;
  readonly mutants: readonly Mutant[];
}

/** Draws places, and for each one of its mutations. */
export function draw(copy: string, commit: string, seed: number, places: number): Campaign {
  const all = SOURCES.flatMap((folder) =>
    readdirSync(join(copy, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .sort()
      .flatMap((name) => {
        const file = parse(copy, `${folder}/${name}`);
        return placesOf(file).map((place) => ({ file, path: `${folder}/${name}`, place }));
      }),
  );
  console.log(`${all.length} places in ${SOURCES.join(', ')}; ${places} drawn with seed ${seed}`);
  const random = seeded(seed);
  const mutants = random.sample(all, places).map(({ file, path, place }, id): Mutant => {
    const mutation = place.mutations[random.integer(place.mutations.length)]!;
    const { start, end } = mutation;
    const { text } = file;
    return {
      id,
      file: path,
      line: file.getLineAndCharacterOfPosition(start).line + 1,
      code: text.slice(start, end),
      around: [text.slice(Math.max(0, start - 40), start), text.slice(end, end + 40)],
      ...mutation,
    };
  });
  return { commit, seed, places: all.length, mutants };
}

export function parse(copy: string, path: string): ts.SourceFile {
  return ts.createSourceFile(path, readFileSync(join(copy, path), 'utf8'), ts.ScriptTarget.Latest, true);
}

/** A mutant's place in a text that may have changed since: where the same code stands between the same, if it does once. */
export function locate(text: string, mutant: Mutant): Mutation | undefined {
  const { code, around } = mutant;
  const whole = around[0] + code + around[1];
  const given = mutant.start - around[0].length;
  const found = text.startsWith(whole, given) ? given : text.indexOf(whole);
  if (found < 0 || (found !== given && text.indexOf(whole, found + 1) >= 0)) return undefined;
  const start = found + around[0].length;
  return { ...mutant, start, end: start + code.length };
}

/** How many mutants the tests of each file have caught. */
export function caughtBy({ mutants }: Campaign): Map<string, number> {
  const caught = new Map<string, number>();
  for (const { outcome } of mutants) {
    const [file = ''] = outcome?.status === 'killed' ? (outcome.by ?? '').split(' › ') : [];
    caught.set(file, (caught.get(file) ?? 0) + 1);
  }
  return caught;
}

export function describe({ file, line, operator, code, replacement }: Mutant): string {
  const short = (text: string) => {
    const flat = text.replace(/\s+/g, ' ');
    return flat.length > 60 ? `${flat.slice(0, 57)}…` : flat;
  };
  return `${file}:${line} ${operator}: ${short(code)} → ${short(replacement) || 'nothing'}`;
}

export function summarize({ commit, seed, places, mutants }: Campaign): void {
  const with_ = (...statuses: Status[]) =>
    mutants.filter(({ outcome }) => outcome && statuses.includes(outcome.status));
  const done = with_('killed', 'timeout', 'survived', 'not reached');
  const caught = with_('killed', 'timeout');
  console.log(
    `\n${commit}, seed ${seed}: ${mutants.length} of ${places} places drawn, ` +
      `${mutants.filter(({ outcome }) => outcome).length} tried, ` +
      `${with_('does not compile').length} do not compile, ${with_('gone').length} are gone\n` +
      `${caught.length} of ${done.length} caught (${((100 * caught.length) / done.length).toFixed(1)} %), ` +
      `${with_('timeout').length} of them by running out of time`,
  );
  for (const mutant of with_('survived', 'not reached')) {
    const { id, outcome } = mutant;
    console.log(`  ${id} ${outcome?.status} ${describe(mutant)} ${outcome?.by ?? ''}`);
  }
}
