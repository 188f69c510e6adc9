// Builds the explorer into static files: the page by Vite, beside it the embedded models and data.
//   node tools/build-explorer.mjs [FOLDER]
// FOLDER is dist/explorer if none is given.
import { cpSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'vite';
import './embed-shaders.mjs';

const root = join(import.meta.dirname, '..');

/** @param folder that the files are written into, in place of what it holds */
export async function buildExplorer(folder) {
  await build({
    configFile: join(root, 'src/web/vite.config.ts'),
    build: { outDir: folder },
    logLevel: 'warn',
  });
  cpSync(join(root, 'weights'), join(folder, 'models'), { recursive: true });
  cpSync(join(root, 'data'), join(folder, 'data'), { recursive: true });
}

if (process.argv[1] && resolve(process.argv[1]) === import.meta.filename)
  await buildExplorer(resolve(process.argv[2] ?? join(root, 'dist/explorer')));
