// Builds the explorer into static files: the page by Vite, beside it the embedded models and data, and what is shown first.
//   node tools/build-explorer.mjs [FOLDER]
// FOLDER is dist/explorer if none is given. dist/ must be built: the first maps are measured by `notice sweep`.
import { cpSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build, createServer } from 'vite';
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
  const data = await explorerData();
  writeFileSync(join(folder, 'data/pairs.json'), data.pairs);
  writeFileSync(join(folder, 'first.json'), data.first);
}

/** By the page's own code, which Node 20 does not import by itself: it is TypeScript. */
async function explorerData() {
  const server = await createServer({
    configFile: false,
    root,
    appType: 'custom',
    logLevel: 'warn',
    optimizeDeps: { noDiscovery: true },
    server: { middlewareMode: true, ws: false, watch: null },
  });
  try {
    const { embeddedPairs, firstPage } = await server.ssrLoadModule('/tools/explorer-data.ts');
    return { pairs: await embeddedPairs(), first: await firstPage() };
  } finally {
    await server.close();
  }
}

if (process.argv[1] && resolve(process.argv[1]) === import.meta.filename)
  await buildExplorer(resolve(process.argv[2] ?? join(root, 'dist/explorer')));
