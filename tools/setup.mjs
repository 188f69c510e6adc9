// Installs the packages of a fresh clone (`npm ci`) when they are missing or older than the lock file;
// with --build also compiles src/ to dist/ when a source is newer.
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
if (process.argv.includes('--build')) {
  const built = newest(join(root, 'dist/.built'));
  const sources = Math.max(
    newest(join(root, 'src')),
    newest(join(root, 'shaders')),
    newest(join(root, 'package.json')),
  );
  if (built < sources)
    execFileSync(npm, ['run', '--silent', 'build'], {
      cwd: root,
      stdio: 'inherit',
      shell: process.platform === 'win32',
    });
}
