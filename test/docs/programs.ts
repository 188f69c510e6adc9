// The TypeScript of the documentation as programs: the snippets of a page are one, but for those that are a file of their own.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { type Snippet, snippetsOf } from './snippets.ts';

/** Where a line of the program stands in the documentation. */
export interface Program {
  readonly name: string;
  readonly text: string;
  placeOf(line: number): string;
}

export const typescript = (file: string) => snippetsOf(file).filter(({ language }) => language === 'ts');

const inBrowser = ({ headings }: Snippet) => headings.some((title) => /in a browser/i.test(title));

export interface Page {
  readonly page: string;
  /** All of its snippets but for those that run in a browser: they compile. */
  readonly whole: Program;
  /** Those of them that run. */
  readonly run: Program;
}

/** The pages whose snippets run in Node. */
export const nodePages: readonly Page[] = ['README.md', 'docs/library.md', 'docs/recipes.md'].map((page) => {
  const snippets = typescript(page).filter((snippet) => !inBrowser(snippet));
  const name = page.replace(/^.*\/|\.md$/g, '').toLowerCase();
  return {
    page,
    whole: programOf(`${name}-whole`, snippets),
    run: programOf(
      name,
      snippets.filter(({ notRun }) => notRun === undefined),
    ),
  };
});

/** The page of docs/library.md, "In a browser": the window's program and the worker's. */
export function browserPrograms(): { main: Program; worker: Program } {
  const snippets = typescript('docs/library.md').filter(inBrowser);
  return {
    main: programOf(
      'main',
      snippets.filter(({ file }) => file === undefined),
    ),
    worker: programOf(
      'worker',
      snippets.filter(({ file }) => file === 'worker.ts'),
    ),
  };
}

export function programOf(name: string, snippets: readonly Snippet[]): Program {
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

/** What this clone's TypeScript finds wrong with a program in a project, by the lines of the documentation. */
export async function faultsOf(project: string, { name, text, placeOf }: Program): Promise<string[]> {
  const file = join(project, `${name}.ts`);
  await writeFile(file, text);
  const program = ts.createProgram([file], {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'],
    types: ['node'],
  });
  return ts.getPreEmitDiagnostics(program).map(({ file: of, start = 0, messageText }) => {
    const message = ts.flattenDiagnosticMessageText(messageText, '\n');
    return `${of?.fileName === file ? placeOf(of.getLineAndCharacterOfPosition(start).line) : of?.fileName}: ${message}`;
  });
}

/** Runs a program in a project. @returns what it prints */
export async function output(project: string, { name, text }: Program): Promise<string> {
  const file = join(project, `${name}.mjs`);
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
  await writeFile(file, ts.transpileModule(text, { compilerOptions }).outputText);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: project });
  return stdout;
}
