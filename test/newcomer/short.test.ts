// A newcomer's first minutes, without the registry: both packages out of their tarballs in a folder with a space and an accent
// in its name; types, Vite, a page and its worker in a browser. test/docs runs the documentation's programs in the same project;
// long.test.ts walks the whole way.

import { execFile } from 'node:child_process';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { build } from 'vite';
import { beforeAll, expect, test } from 'vitest';
import { useBuilt } from '../cli/support.ts';
import { packedProject } from '../support/packed.ts';
import { PAGE, writeApp } from './app.ts';
import { openBuilt } from './browser.ts';

useBuilt();
let project: string;
beforeAll(async () => {
  project = await packedProject();
});

test.each([
  ['with DOM', ['lib.es2022.d.ts', 'lib.dom.d.ts'], []],
  ['without DOM, for Node', ['lib.es2022.d.ts'], ['node']],
  ['without any', ['lib.es2022.d.ts'], []],
])('all declarations compile %s', (_, lib, types) => {
  const entries = ['notice-webgpu/dist/index.d.ts', 'notice-webgpu/dist/analysis/index.d.ts'];
  if (types.length > 0) entries.push('notice-webgpu/dist/platform/node/index.d.ts');
  else entries.push('notice-webgpu/dist/platform/browser/index.d.ts');
  const files = entries.map((entry) => join(project, 'node_modules', entry));
  const program = ts.createProgram(files, {
    strict: true,
    noEmit: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
    lib,
    types,
  });
  const messages = ts
    .getPreEmitDiagnostics(program)
    .map(
      ({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`,
    );
  expect(messages).toEqual([]);
});

test('Vite builds a page and its worker, which answer', async () => {
  const root = join(project, 'vite');
  await writeApp(root, join(project, 'node_modules/notice-webgpu-cli'));
  await writeFile(join(root, 'index.html'), `${PAGE}<script type="module" src="./entry.ts"></script>\n`);
  await build({
    configFile: false,
    root,
    logLevel: 'error',
    build: { outDir: 'dist' },
    worker: { format: 'es' },
  });
  const { text, lines, errors } = await openBuilt(join(root, 'dist'));
  expect(errors).toEqual([]);
  expect(text).toBe('heart');
  expect(lines).toContain('from the worker: heart');
  expect(lines[0]).toMatch(
    /^NoticeError usage nodeFolder of notice-webgpu\/node runs in Node only\. In a browser use /,
  );
});

test('a package that only Node needs and that is not there is named with what to do', async () => {
  const [sharp, away] = ['sharp', 'sharp-away'].map((name) => join(project, 'node_modules', name)) as [
    string,
    string,
  ];
  const program = join(project, 'without-sharp.mjs');
  await writeFile(
    program,
    "import { readImage } from 'notice-webgpu/node';\nawait readImage('data/scenes/002_clean.png').catch((error) => console.log(error.message));\n",
  );
  await rename(sharp, away);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [program], { cwd: project });
    expect(stdout).toMatch(/^Decoding images in Node needs the package sharp, .*: npm install sharp\./);
  } finally {
    await rename(away, sharp);
    await rm(program);
  }
});
