// Commands as a newcomer types them, in a project of theirs.

import { exec, execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Nothing of what steers npm inside `npm run`, which would look into this clone. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(
    ([name]) => !/^(npm_|INIT_CWD|NODE_ENV$|VITEST|NODE_OPTIONS$)/.test(name),
  ),
);

/** @returns what it says on both streams @throws with that if it fails */
export async function shell(command: string, cwd: string): Promise<string> {
  const { stdout, stderr } = await promisify(exec)(command, { cwd, env: environment, maxBuffer: 2 ** 26 });
  return stdout + stderr;
}

/** A program of the project's in Node. @returns what it prints; what it says of faults where it fails */
export async function inNode(args: readonly string[], cwd: string): Promise<string> {
  const options = { cwd, env: environment, maxBuffer: 2 ** 26 };
  return promisify(execFile)(process.execPath, args, options).then(
    ({ stdout, stderr }) => stdout + stderr,
    ({ stdout, stderr }: { stdout: string; stderr: string }) => `failed:\n${stdout}${stderr}`,
  );
}
