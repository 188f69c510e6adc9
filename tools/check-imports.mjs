// Checks that imports in src/ point one way, and that what runs in browsers imports nothing of Node.
//
//   errors ← gpu ← kernels ← models ← patching ← notice ← cli, web; weights and inputs stand beside kernels,
//   analysis and hub use none of them (patching uses analysis), platform brings what differs between Node and browsers.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const src = join(dirname(fileURLToPath(import.meta.url)), '..', 'src');

/** What each folder may import, besides itself and the files directly in src/. */
const ALLOWED = {
  gpu: [],
  kernels: ['gpu'],
  weights: ['gpu', 'kernels', 'hub'],
  inputs: [],
  analysis: [],
  models: ['gpu', 'kernels', 'weights', 'inputs'],
  patching: ['gpu', 'kernels', 'weights', 'inputs', 'models', 'analysis'],
  hub: [],
  platform: ['gpu', 'kernels', 'weights', 'inputs', 'hub'],
  bench: ['gpu', 'kernels', 'weights', 'models', 'patching'],
  notice: ['gpu', 'kernels', 'weights', 'inputs', 'models', 'patching', 'analysis', 'hub', 'platform'],
  cli: ['gpu', 'kernels', 'weights', 'inputs', 'models', 'patching', 'analysis', 'hub', 'platform', 'notice'],
};
/** Folders that run unchanged in browsers. */
const PORTABLE = [
  'gpu',
  'kernels',
  'weights',
  'inputs',
  'models',
  'patching',
  'analysis',
  'hub',
  'bench',
  'web',
];
ALLOWED.web = [...PORTABLE, 'platform', 'notice'];

const problems = [];
for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' })) {
  if (!/\.tsx?$/.test(file) || !file.includes(sep)) continue;
  const [folder] = file.split(sep);
  if (!(folder in ALLOWED)) problems.push(`src/${folder} has no place in the order of imports`);
  const text = readFileSync(join(src, file), 'utf8');
  for (const [, target] of text.matchAll(/(?:from|import\()\s*'([^']+)'/g)) {
    if (target.startsWith('.')) {
      const [to, ...rest] = relative(src, resolve(join(src, dirname(file)), target)).split(sep);
      if (rest.length > 0 && to !== folder && !ALLOWED[folder]?.includes(to))
        problems.push(`src/${file} imports ${target}: ${folder} must not depend on ${to}`);
    } else if (target.startsWith('node:') && PORTABLE.includes(folder)) {
      problems.push(`src/${file} imports ${target}, but src/${folder} also runs in browsers`);
    }
  }
}

// The page may use of src/notice what runs in browsers: nothing that it imports, however far away, imports Node. Types
// are gone by then.
const seen = new Set();
function walk(file, via) {
  if (seen.has(file) || !existsSync(file)) return; // src/kernels/generated is not there before a build
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  for (const [, target] of text.matchAll(/^(?:import|export)\s+(?!type\b)[^;']*'([^']+)'/gm)) {
    if (target.startsWith('node:'))
      problems.push(`${[...via, file].map((path) => relative(src, path)).join(' → ')} imports ${target}`);
    if (/^\..*\.tsx?$/.test(target)) walk(resolve(dirname(file), target), [...via, file]);
  }
}
for (const file of readdirSync(join(src, 'web'), { recursive: true, encoding: 'utf8' }))
  if (/\.tsx?$/.test(file)) walk(join(src, 'web', file), []);

for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
