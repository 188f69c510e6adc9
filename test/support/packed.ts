// Both packages as npm leaves them in a project of someone who has no clone.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { extract } from 'tar';
import { ROOT } from '../cli/support.ts';

/** Names that few have tried their programs in. */
const NAME = 'neuer Gast é ';

/**
 * An empty folder with a space and an accent in its name, for as long as this process lives: it goes with the next call of a later
 * one, since test runners end their workers before these can tidy up.
 */
export async function emptyFolder(): Promise<string> {
  for (const name of await readdir(tmpdir())) {
    const [, owner] = new RegExp(`^${NAME}(\\d+) `).exec(name) ?? [];
    if (owner !== undefined && !lives(Number(owner)))
      await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
  return mkdtemp(join(tmpdir(), `${NAME}${process.pid} `));
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Packs both packages. @param page with the explorer's page in the second @returns the tarballs, the library's first */
export async function packBoth(page: boolean): Promise<[library: string, cli: string]> {
  const folder = await emptyFolder();
  const pack = [join(ROOT, 'tools/pack.mjs'), folder, ...(page ? [] : ['--no-page'])];
  await promisify(execFile)(process.execPath, pack, { cwd: ROOT });
  const tarballs = (await readdir(folder)).filter((name) => name.endsWith('.tgz')).sort();
  const [library, cli] = tarballs.map((name) => join(folder, name));
  if (!library || !cli) throw new Error(`npm pack has made ${tarballs.join(', ') || 'nothing'}`);
  // "notice-webgpu-0.1.0.tgz" comes before "notice-webgpu-cli-0.1.0.tgz".
  return [library, cli];
}

/** The documentation's programs are modules with `await` at their top. */
export const MANIFEST = '{ "name": "newcomer", "private": true, "type": "module" }\n';

let project: Promise<string> | undefined;

/**
 * A project in which both packages are installed out of their tarballs, without the registry: what they need is the clone's.
 * The embedded models and data are beside its programs, where the documentation has them. One for all tests of a process.
 */
export function packedProject(): Promise<string> {
  project ??= install();
  return project;
}

async function install(): Promise<string> {
  const folder = await emptyFolder();
  const packages = join(folder, 'node_modules');
  await mkdir(packages);
  await writeFile(join(folder, 'package.json'), MANIFEST);
  for (const [i, tarball] of (await packBoth(false)).entries()) {
    const cwd = join(packages, i === 0 ? 'notice-webgpu' : 'notice-webgpu-cli');
    await mkdir(cwd);
    await extract({ file: tarball, cwd, strip: 1 });
  }
  for (const name of await readdir(join(ROOT, 'node_modules')))
    if (!name.startsWith('.')) await symlink(join(ROOT, 'node_modules', name), join(packages, name));
  for (const name of ['data', 'weights'])
    await symlink(join(packages, 'notice-webgpu-cli', name), join(folder, name));
  return folder;
}
