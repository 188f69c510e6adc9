// Packs what bench/first-gpu.sh needs into a folder that runs on a Linux x64 machine without network, Node or npm: Node's binary, Dawn
// for Linux, the benches and the kernels' tests with all that they import. dist/ must be built.
//   node tools/first-gpu/pack.mjs FOLDER
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { build } from 'vite';
import '../embed-shaders.mjs';

const root = resolve(import.meta.dirname, '../..');
/** What some machines take of a folder. */
const MOST_BYTES = 64 * 2 ** 20;

const [given] = process.argv.slice(2);
if (!given) throw new Error('which folder? node tools/first-gpu/pack.mjs FOLDER');
if (!existsSync(join(root, 'dist/.built'))) throw new Error('dist/ is not built: npm run build');
const folder = resolve(given);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

await bundle(
  'bench',
  ['first-gpu', 'run', 'llava-7b'].map((name) => join(root, 'bench', `${name}.mjs`)),
);
const kernelTests = readdirSync(join(root, 'test/kernels'))
  .filter((name) => name.endsWith('.test.ts'))
  .map((name) => join(root, 'test/kernels', name))
  .filter((path) => /\btest(Work|Gpu)\b/.test(readFileSync(path, 'utf8')));
await bundle('test/kernels', [...kernelTests, join(import.meta.dirname, 'run-tests.mjs')]);

for (const path of [
  ...['package.json', 'LICENSE', 'bench/first-gpu.sh', 'bench/peers/torch_llava.py', 'shaders'],
  ...['test/fixtures/nf4', 'test/fixtures/blip-vqa-base-formula'],
  ...['node_modules/webgpu/package.json', 'node_modules/webgpu/index.js', 'node_modules/webgpu/LICENSE.md'],
  'node_modules/webgpu/dist/linux-x64',
])
  cpSync(join(root, path), join(folder, path), { recursive: true, dereference: true });
const node = join(folder, 'node');
cpSync(process.execPath, node);
execFileSync('strip', ['--strip-all', node]);
// first-gpu.sh unpacks these.
execFileSync('xz', ['--threads=2', '-6', node, join(folder, 'node_modules/webgpu/dist/linux-x64/dawn.node')]);

const bytes = sizeOf(folder);
console.log(`${(bytes / 2 ** 20).toFixed(1)} MiB → ${folder}`);
if (bytes > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`);

/** Bundles programs with all they import but native code. */
async function bundle(to, files) {
  const name = (path) => basename(path).replace(/\.(mjs|ts)$/, '');
  await build({
    configFile: false,
    logLevel: 'warn',
    root,
    resolve: { alias: { vitest: join(import.meta.dirname, 'vitest.mjs') } },
    ssr: { noExternal: true },
    build: {
      ssr: true,
      outDir: join(folder, to),
      emptyOutDir: false,
      target: 'node20',
      minify: false,
      rollupOptions: {
        input: Object.fromEntries(files.map((path) => [name(path), path])),
        external: ['webgpu', 'sharp', '@resvg/resvg-js', 'onnxruntime-node', 'protobufjs'],
        output: { entryFileNames: '[name].mjs', chunkFileNames: 'chunk-[name]-[hash].mjs' },
      },
    },
  });
}

function sizeOf(path) {
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
