// Programs that the page writes, run in Node beside an installed package.

import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll } from 'vitest';
import { ROOT, useBuilt } from '../cli/support.ts';

/** A folder for the file's tests in which both packages are installed; in this clone they are one folder. */
export function usePackageFolder(): { readonly path: string } {
  useBuilt();
  const folder = { path: '' };
  beforeAll(async () => {
    folder.path = await mkdtemp(join(tmpdir(), 'notice-program-'));
    await mkdir(join(folder.path, 'node_modules'));
    for (const name of ['notice-webgpu', 'notice-webgpu-cli'])
      await symlink(ROOT, join(folder.path, 'node_modules', name), 'dir');
  });
  afterAll(() => rm(folder.path, { recursive: true, force: true }));
  return folder;
}

/** @returns what it prints: all lines, and the numbers of every run by `id run` */
export async function runProgram(
  folder: string,
  program: string,
): Promise<{ lines: string[]; runs: Map<string, number[]> }> {
  const file = join(folder, 'program.mjs');
  await writeFile(file, program);
  const { stdout } = await promisify(execFile)(process.execPath, [file], { cwd: folder });
  const lines = stdout.trim().split('\n');
  return { lines, runs: new Map(lines.flatMap(numbersOf)) };
}

/** A line of numbers, as programs print them and as the page says in their first lines what it shows. */
export function numbersOf(line: string): [string, number[]][] {
  const found = /(\S+ )?(\w+): P\(correct\) (\S+), P\(incorrect\) (\S+), logit difference (\S+)$/.exec(line);
  return found ? [[`${found[1] ?? ''}${found[2]}`, found.slice(3).map(Number)]] : [];
}
