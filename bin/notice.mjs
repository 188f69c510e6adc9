#!/usr/bin/env node
// The program of notice-webgpu-cli. The library has this file, too: `npx notice` beside it finds that package or says what to
// install, and does not ask the registry for another one of this name.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = fileURLToPath(new URL('..', import.meta.url));

/** The command line's own package, beside this one or in the project that it is called from. */
function installed() {
  const { resolve } = createRequire(import.meta.url);
  try {
    return dirname(resolve('notice-webgpu-cli/package.json', { paths: [here, process.cwd()] }));
  } catch {
    return undefined;
  }
}

const program = [here, installed()]
  .filter((folder) => folder !== undefined)
  .map((folder) => join(folder, 'dist/cli/main.js'))
  .find((file) => existsSync(file));
if (program !== undefined) {
  const { run } = await import(pathToFileURL(program).href);
  await run(process.argv);
} else {
  const inClone = existsSync(join(here, 'src/cli'));
  console.error(
    inClone
      ? 'notice is not built yet: run `npm ci` (or `npm run build`) in its folder.'
      : 'notice is the program of another package: npm install notice-webgpu-cli',
  );
  process.exitCode = 1;
}
