// The snippets of README, docs/library.md and docs/recipes.md are what they say: programs that compile under `strict` and run,
// commands that end well.

import { execFile } from 'node:child_process';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { notice, ROOT, useBuilt } from '../cli/support.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { type Snippet, snippetsOf } from './snippets.ts';

useBuilt();

/** Inside the package, whose own name leads to what was built. */
const FOLDER = join(ROOT, '.cache/docs');
beforeAll(() => mkdir(FOLDER, { recursive: true }));
afterAll(() => rm(FOLDER, { recursive: true, force: true }));

const typescript = (file: string) => snippetsOf(file).filter(({ language }) => language === 'ts');
const inBrowser = ({ headings }: Snippet) => headings.some((title) => /in a browser/i.test(title));

/** Where a line of the program stands in the documentation. */
interface Program {
  readonly name: string;
  readonly text: string;
  placeOf(line: number): string;
}

function programOf(name: string, snippets: readonly Snippet[]): Program {
  const places: string[] = [];
  const lines = snippets.flatMap(({ where, code }) => {
    const [file, first] = where.split(':');
    return code.split('\n').map((line, i) => {
      places.push(`${file}:${Number(first) + i}`);
      return line;
    });
  });
  return { name, text: `${lines.join('\n')}\nexport {};\n`, placeOf: (line) => places[line] ?? '' };
}

/** What TypeScript finds wrong with a program, by the lines of the documentation. */
async function faultsOf({ name, text, placeOf }: Program): Promise<string[]> {
  const file = join(FOLDER, `${name}.ts`);
  await writeFile(file, text);
  const program = ts.createProgram([file], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
    types: ['node', '@webgpu/types'],
    skipLibCheck: true,
  });
  return ts.getPreEmitDiagnostics(program).map(({ file: of, start = 0, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n');
    return `${of?.fileName === file ? placeOf(of.getLineAndCharacterOfPosition(start).line) : of?.fileName}: ${message}`;
  });
}

async function output({ name, text }: Program): Promise<string> {
  const file = join(FOLDER, `${name}.mjs`);
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
  await writeFile(file, ts.transpileModule(text, { compilerOptions }).outputText);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: ROOT });
  return stdout;
}

test('docs/library.md is one program, and says what its comments promise', async () => {
  const snippets = typescript('docs/library.md').filter((snippet) => !inBrowser(snippet));
  expect(await faultsOf(programOf('library', snippets))).toEqual([]);
  const run = snippets.filter(({ notRun }) => notRun === undefined);
  expect(snippets.length - run.length).toBeLessThanOrEqual(5);
  const lines = (await output(programOf('library', run))).split('\n');
  // The answers that stand as comments behind console.log.
  expect(lines).toContain('heart');
});

test('docs/library.md in a browser compiles', async () => {
  const snippets = typescript('docs/library.md').filter(inBrowser);
  expect(snippets.length).toBeGreaterThan(0);
  expect(await faultsOf(programOf('browser', snippets))).toEqual([]);
});

test("the README's example runs", async () => {
  const program = programOf('readme', typescript('README.md'));
  expect(await faultsOf(program)).toEqual([]);
  expect(await output(program)).not.toBe('');
});

describe('docs/recipes.md', () => {
  test('is one program', async () => {
    const program = programOf('recipes', typescript('docs/recipes.md'));
    expect(await faultsOf(program)).toEqual([]);
    const text = await output(program);
    const [, seeing, blind] = /logit difference (\S+) without the image (\S+)/.exec(text) ?? [];
    expect(Number(seeing)).toBeGreaterThan(Number(blind));
    expect(text).toMatch(/image 0, .*row 7, column 7 \S+ \d/);
  });

  const commands = snippetsOf('docs/recipes.md')
    .filter(({ language }) => language === 'sh')
    .flatMap(({ code }) => code.replaceAll('\\\n', ' ').split('\n'));

  test.each(commands)('%s', async (line) => {
    const folder = await freshFolder();
    for (const name of ['data', 'weights']) await symlink(join(ROOT, name), join(folder, name));
    const [, command = ''] = /^npx notice (.*)$/.exec(line) ?? [];
    const words = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '');
    expect(await notice(words, { cwd: folder })).toMatchObject({ status: 0, stderr: '' });
  });
});
