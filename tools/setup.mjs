// Installs the packages of a fresh clone (`npm ci`) when they are missing or older than the lock file;
// with --build also compiles src/ to dist/ when a source is newer, with --explorer builds the page, too.
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';

/** Latest modification time under a path, in ms; 0 if it does not exist. */
function newest(path) {
  if (!existsSync(path)) return 0;
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

const packages = join(root, 'node_modules');
/** `npm ci` would empty the folder of another checkout. */
const borrowed = lstatSync(packages, { throwIfNoEntry: false })?.isSymbolicLink();
const installed = join(packages, '.package-lock.json');
if (!borrowed && newest(installed) < newest(join(root, 'package-lock.json'))) {
  console.log('Installing packages (npm ci) …');
  execFileSync(npm, ['ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
}

/** Runs a script of package.json if what it writes is older than what it reads. */
function bringUpToDate(script, written, read) {
  const sources = read.map((path) => newest(join(root, path)));
  if (newest(join(root, written)) >= Math.max(...sources)) return;
  execFileSync(npm, ['run', '--silent', script], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
}

const explorer = process.argv.includes('--explorer');
const sources = ['src', 'shaders', 'package.json'];
if (explorer || process.argv.includes('--build')) bringUpToDate('build', 'dist/.built', sources);
if (explorer)
  bringUpToDate('build:explorer', 'dist/explorer/index.html', [...sources, 'weights', 'data', 'tools']);
