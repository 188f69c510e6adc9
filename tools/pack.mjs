// Packs both packages of this repository: notice-webgpu, the library, and notice-webgpu-cli, all that stands on it.
//   node tools/pack.mjs [FOLDER] [--no-page]
// The tarballs come into FOLDER (.cache/packages if none is given). --no-page leaves the explorer's page out, which takes
// longest to build. What the CLI's package is made of stays in FOLDER/notice-webgpu-cli.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';

const root = join(import.meta.dirname, '..');
/** What of dist/ goes into the CLI's package; the rest is the library's. */
const COMPILED = ['bench', 'cli', 'notice'];
const COPIED = [
  ...['LICENSE', 'NOTICE', 'CITATION.cff', 'bin', 'weights', 'data', 'examples', 'bench'],
  ...['dist/explorer', 'test/fixtures/blip-vqa-base-formula', ...COMPILED.map((name) => `dist/${name}`)],
];

const { values, positionals } = parseArgs({
  options: { 'no-page': { type: 'boolean' } },
  allowPositionals: true,
});
const folder = resolve(positionals[0] ?? join(root, '.cache/packages'));
const cli = join(folder, 'notice-webgpu-cli');

execFileSync(process.execPath, [join(root, 'tools/setup.mjs'), values['no-page'] ? '--build' : '--explorer']);
rmSync(cli, { recursive: true, force: true });
mkdirSync(cli, { recursive: true });
stage();
// The shell finds npm on Windows, too.
for (const from of [root, cli])
  execFileSync(`npm pack --ignore-scripts --pack-destination "${folder}"`, {
    cwd: from,
    shell: true,
    stdio: ['ignore', 'inherit', 'ignore'],
  });

/** The CLI's package as a folder: the same files at the same places, but that it imports the library by its name. */
function stage() {
  for (const name of COPIED) {
    if (name === 'dist/explorer' && values['no-page']) continue;
    cpSync(join(root, name), join(cli, name), { recursive: true });
  }
  cpSync(join(root, 'packages/cli'), cli, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(cli, 'package.json'), 'utf8'));
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  // The exact version: the two share what `internal` exports.
  const dependencies = { 'notice-webgpu': version, ...manifest.dependencies };
  const text = JSON.stringify({ ...manifest, version, dependencies }, null, 2);
  writeFileSync(join(cli, 'package.json'), `${text}\n`);
  for (const part of ['bench', ...COMPILED.map((name) => join('dist', name))])
    for (const name of readdirSync(join(cli, part), { recursive: true, encoding: 'utf8' }))
      if (/\.(m?js|d\.ts)$/.test(name)) importLibrary(join(part, name));
}

/** Has a file of the CLI's package import what is not in it from the library. */
function importLibrary(file) {
  const text = readFileSync(join(cli, file), 'utf8');
  const pattern = /((?:from|import)\s*\(?\s*)(['"])(\.[^'"]*)\2/g;
  const written = text.replace(pattern, (whole, before, quote, target) => {
    const path = relative(cli, resolve(join(cli, dirname(file)), target))
      .split(sep)
      .join('/');
    if (existsSync(join(cli, path))) return whole;
    const [, library] = /^dist\/(.*)$/.exec(path) ?? [];
    if (library === undefined || !existsSync(join(root, path)))
      throw new Error(`${file} imports ${target}, which is in neither package`);
    return `${before}${quote}notice-webgpu/internal/${library}${quote}`;
  });
  if (written !== text) writeFileSync(join(cli, file), written);
}
