// The page of docs/library.md, "In a browser", as a project of someone who has installed both packages: its window and its
// worker, and beside them what a newcomer tries by mistake.

import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ts from 'typescript';
import { browserPrograms } from '../docs/programs.ts';

/** An import of the wrong entry point, and the name of an error after minifying. */
const DOORS = `import { NoticeError } from 'notice-webgpu';
import { nodeFolder } from 'notice-webgpu/node';

try {
  nodeFolder('weights/blip-shapes');
} catch (error) {
  if (error instanceof NoticeError) console.log(error.name, error.code, error.message);
}
`;

export const PAGE = `<!doctype html>
<meta charset="utf-8">
<link rel="icon" href="data:,">
<title>A newcomer's page</title>
<body></body>
`;

/** What the page fetches beside its scripts, by paths in the command line's package. */
const FETCHED = ['weights/blip-shapes', 'data/scenes/002_clean.png'];

/**
 * Writes entry, main, worker and doors into a folder, and what the page fetches into `public/` of that.
 *
 * @param cli where the command line's package is installed
 * @param javascript already translated, with the worker's address as bundlers take it that know no TypeScript
 */
export async function writeApp(folder: string, cli: string, { javascript = false } = {}): Promise<void> {
  const { main, worker } = browserPrograms();
  const files = {
    entry: "import './doors';\nimport './main';\n",
    main: main.text,
    worker: worker.text,
    doors: DOORS,
  };
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    if (!javascript) await writeFile(join(folder, `${name}.ts`), text);
    else await writeFile(join(folder, `${name}.js`), translated(text));
  }
  for (const path of FETCHED)
    await cp(join(cli, path), join(folder, 'public', path), {
      recursive: true,
    });
}

function translated(text: string): string {
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
  return ts
    .transpileModule(text.replace('./worker.ts', './worker.js'), { compilerOptions })
    .outputText.replace(/'\.\/(doors|main)'/g, "'./$1.js'");
}
