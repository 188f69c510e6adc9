// Mutations of the source: are the tests beside the code good enough to notice them?
//
// Places are drawn with a fixed seed from all that the operators allow (operators.ts). Each mutation is made in a private
// copy of a commit, type-checked, and the tests that come past its place are run until one fails. Every outcome is written
// down at once, so that a rerun goes on where the last one ended.

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { setPriority } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { chooseTests, ImportGraph, nearest, type Reached, TESTS } from './choose.ts';
import { Hosted } from './hosted.ts';
import {
  type Campaign,
  caughtBy,
  describe,
  draw,
  locate,
  type Mutant,
  parse,
  type Status,
  summarize,
} from './mutant.ts';
import { mutate } from './operators.ts';
import { withMarks } from './reach.ts';
import { TypeCheck } from './type-check.ts';

const HELP = `node test/mutants/run.mjs [options]

--commit REV     what is mutated (HEAD)
--seed N         of the draw (1)
--places N       how many places are drawn (300)
--folder DIR     copy and outcomes (.cache/mutants); a rerun goes on
--seconds N      of tests for one mutant (90)
--again          ask the tests of another commit about what survived; mutants are found there by their text
--only N,N       mutants by number
--list           only print what is known`;

export async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      commit: { type: 'string', default: 'HEAD' },
      seed: { type: 'string', default: '1' },
      places: { type: 'string', default: '300' },
      folder: { type: 'string', default: '.cache/mutants' },
      seconds: { type: 'string', default: '90' },
      only: { type: 'string' },
      again: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  const folder = resolve(values.folder);
  const outcomes = join(folder, 'outcomes.json');
  if (values.list) return summarize(JSON.parse(readFileSync(outcomes, 'utf8')));
  setPriority(15);
  const commit = execFileSync('git', ['rev-parse', values.commit], { encoding: 'utf8' }).trim();
  const copy = makeCopy(join(folder, values.again ? 'again' : 'copy'), commit);
  const campaign: Campaign = existsSync(outcomes)
    ? JSON.parse(readFileSync(outcomes, 'utf8'))
    : draw(copy, commit, Number(values.seed), Number(values.places));
  const save = () => writeFileSync(outcomes, JSON.stringify(campaign, undefined, 1));
  if (!values.again && campaign.commit !== commit)
    throw new Error(
      `${outcomes} is of ${campaign.commit}: --commit ${campaign.commit}, or --again, or another --folder`,
    );
  save();
  const only = values.only?.split(',').map(Number);
  const graph = new ImportGraph(copy);
  const check = new TypeCheck(copy, (file) => graph.direct(file));
  const hosted = new Hosted(copy, join(folder, 'reached.jsonl'), join(folder, 'host.log'));
  try {
    const marks = values.again ? [] : await findReached(copy, folder, campaign.mutants, hosted, graph);
    const reached = readReached(folder);
    const lost = (status: Status | undefined) => status === 'survived' || status === 'not reached';
    const pending = campaign.mutants.filter(({ id, outcome }) =>
      only
        ? only.includes(id)
        : values.again
          ? lost(outcome?.status) && outcome?.commit !== commit
          : !outcome,
    );
    for (const mutant of pending) {
      const began = performance.now();
      const end = (status: Status, by?: string) => {
        const seconds = Math.round((performance.now() - began) / 100) / 10;
        mutant.outcome = { status, commit, by, seconds };
        save();
        console.log(`${mutant.id} ${status} ${describe(mutant)} ${by ?? ''} (${seconds} s)`);
      };
      const path = join(copy, mutant.file);
      const text = existsSync(path) ? readFileSync(path, 'utf8') : '';
      const place = locate(text, mutant);
      if (!place) {
        end('gone');
        continue;
      }
      const mutated = mutate(text, place);
      const error = check.errorOf(mutant.file, mutated);
      if (error) {
        end('does not compile', error);
        continue;
      }
      const { tests, seconds, leftOut } = values.again
        ? nearest(campaign.commit, commit, mutant.file, graph, reached, Number(values.seconds))
        : chooseTests(
            mutant,
            marks.includes(mutant.id),
            reached,
            graph,
            Number(values.seconds),
            caughtBy(campaign),
          );
      if (tests.length === 0) {
        end('not reached');
        continue;
      }
      writeFileSync(path, mutated);
      try {
        const answer = await hosted.ask({ tests, changed: [mutant.file] }, 10 + seconds);
        if (answer === 'timeout') end('timeout');
        else if (answer.failed) end('killed', answer.failed);
        else end('survived', `${tests.length} test files, ${leftOut} left out`);
      } finally {
        writeFileSync(path, text);
        hosted.touch(mutant.file);
      }
    }
  } finally {
    hosted.stop();
  }
  summarize(campaign);
}

/** The files of a commit, with the packages of this checkout. Tests that this checkout has changed are not in it. */
function makeCopy(copy: string, commit: string): string {
  const mark = join(copy, '.commit');
  if (existsSync(mark) && readFileSync(mark, 'utf8') !== commit) rmSync(copy, { recursive: true });
  mkdirSync(copy, { recursive: true });
  const archive = execFileSync('git', ['archive', commit], { maxBuffer: 2 ** 30 });
  execFileSync('tar', ['-x', '-C', copy], { input: archive });
  // The campaign's own files go with it, also to commits that did not have them.
  mkdirSync(join(copy, 'test/mutants'), { recursive: true });
  for (const name of readdirSync(import.meta.dirname))
    if (!name.endsWith('.test.ts'))
      writeFileSync(join(copy, 'test/mutants', name), readFileSync(join(import.meta.dirname, name)));
  if (!existsSync(join(copy, 'node_modules')))
    symlinkSync(resolve('node_modules'), join(copy, 'node_modules'));
  execFileSync(process.execPath, ['tools/embed-shaders.mjs'], { cwd: copy });
  writeFileSync(mark, commit);
  return copy;
}

/**
 * Runs the tests on marked sources, a folder at a time; what was found before is not run again.
 *
 * @returns mutants that are run when their file is loaded
 */
async function findReached(
  copy: string,
  folder: string,
  mutants: readonly Mutant[],
  hosted: Hosted,
  graph: ImportGraph,
): Promise<number[]> {
  const atLoad: number[] = [];
  const originals = new Map<string, string>();
  for (const path of new Set(mutants.map(({ file }) => file))) {
    const file = parse(copy, path);
    const own = mutants.filter((mutant) => mutant.file === path).map(({ id, ...place }) => ({ id, place }));
    const marked = withMarks(file, own);
    atLoad.push(...marked.atLoad);
    originals.set(path, file.text);
    writeFileSync(join(copy, path), marked.text);
  }
  try {
    const related = new Set([...originals.keys()].flatMap((file) => graph.tests(file)));
    for (const tests of TESTS) {
      const known = new Set(readReached(folder).map(({ file }) => file));
      const wanted = readdirSync(join(copy, 'test', tests), { recursive: true, encoding: 'utf8' })
        .filter((name) => name.endsWith('.test.ts'))
        .map((name) => `test/${tests}/${name}`)
        .filter((file) => related.has(file) && !known.has(file));
      if (wanted.length === 0) continue;
      console.log(`what the tests of ${tests} come past …`);
      const answer = await hosted.ask(
        { tests: wanted.map((file) => ({ file })), changed: [], all: true },
        3600,
      );
      if (answer === 'timeout' || answer.failed)
        console.log(`without any mutation: ${JSON.stringify(answer)}`);
    }
  } finally {
    for (const [path, text] of originals) {
      writeFileSync(join(copy, path), text);
      hosted.touch(path);
    }
  }
  return atLoad;
}

function readReached(folder: string): Reached[] {
  const path = join(folder, 'reached.jsonl');
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Reached);
}
