// A shell in which `notice` is done by this process, on the tests' device: bash reads what stands in the documentation, and no
// command compiles its kernels anew.

import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Outcome, ROOT } from '../cli/support.ts';
import { serve } from '../hub/server.ts';

/** Asks this process, and ends as it says. */
const STAND_IN = `#!${process.execPath}
const [, file, ...args] = process.argv;
const body = JSON.stringify({ program: file.replace(/^.*[/]/, ''), args, cwd: process.cwd() });
fetch(process.env.NOTICE_DOCS_SHELL, { method: 'POST', body }).then(async (response) => {
  const { status, stdout, stderr } = await response.json();
  process.stdout.write(stdout);
  process.stderr.write(stderr);
  process.exitCode = status;
});
`;

/** Programs that a cluster's users have. */
const OTHERS = { sbatch: 'echo "101;cluster"', squeue: ':', scontrol: ':', kubectl: 'cat > /dev/null' };

export interface Shell {
  /** Runs a script; throws with what it said unless it ends with status 0. */
  run(script: string): Promise<{ readonly stdout: string; readonly stderr: string }>;
}

/**
 * A shell in a folder with what a clone has.
 *
 * @param notice does `notice` with its arguments
 */
export async function shellIn(
  folder: string,
  notice: (args: readonly string[], cwd: string, path: string) => Promise<Outcome>,
): Promise<Shell> {
  for (const name of ['data', 'weights', 'examples']) await symlink(join(ROOT, name), join(folder, name));
  const bin = join(folder, '.bin');
  await mkdir(bin);
  const program = async (name: string, text: string) => {
    await writeFile(join(bin, name), text);
    await chmod(join(bin, name), 0o755);
  };
  for (const name of ['npm', 'npx', 'notice']) await program(name, STAND_IN);
  for (const [name, text] of Object.entries(OTHERS)) await program(name, `#!/bin/bash\n${text}\n`);
  const path = `${bin}:${process.env.PATH}`;
  const { url } = await serve(async (_, response, body) => {
    const { program: called, args, cwd } = JSON.parse(body) as Called;
    const own = called === 'npm' ? await noticeOfNpm(args) : args.slice(called === 'npx' ? 1 : 0);
    response.end(JSON.stringify(Array.isArray(own) ? await notice(own, cwd, path) : own));
  });
  const options = { cwd: folder, env: { ...process.env, PATH: path, NOTICE_DOCS_SHELL: url } };
  return { run: (script) => promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], options) };
}

interface Called {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
}

/** What `npm` calls `notice` with; or how it ends, where it asks the registry for packages or does what tests do anyhow. */
async function noticeOfNpm(args: readonly string[]): Promise<readonly string[] | Outcome> {
  const [root, cli] = await Promise.all([manifest('.'), manifest('packages/cli')]);
  const end = (wrong: string) => ({ status: wrong ? 1 : 0, stdout: '', stderr: wrong });
  const [command = '', ...rest] = args;
  if (command === 'install') {
    const known = [root, cli].flatMap(({ name, dependencies, peerDependencies }) => [
      name,
      ...Object.keys({ ...dependencies, ...peerDependencies }),
    ]);
    return end(rest.filter((name) => !known.includes(name)).join(', '));
  }
  const name = command === 'run' ? (rest[0] ?? '') : command;
  const script = root.scripts[name];
  if (script === undefined) return end(`there is no script ${name}`);
  const [, called] = /^node bin\/notice\.mjs (.*)$/.exec(script) ?? [];
  return called?.split(' ') ?? end('');
}

interface Manifest {
  readonly name: string;
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies?: object;
  readonly peerDependencies?: object;
}

async function manifest(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(ROOT, folder, 'package.json'), 'utf8')) as Manifest;
}
