// Programs that the check runs.
import { spawn, spawnSync } from 'node:child_process';

/** Whether a program is there. */
export const has = (program) => spawnSync(program, ['--version']).error === undefined;

/**
 * Runs a program to its end.
 *
 * @returns what it printed on stdout
 * @throws Error with the end of what it printed, if it fails
 */
export function run(program, args, { env = {}, cwd } = {}) {
  return new Promise((done, failed) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const out = [];
    const all = [];
    child.stdout.on('data', (bytes) => out.push(bytes) && all.push(bytes));
    child.stderr.on('data', (bytes) => all.push(bytes));
    child.on('error', failed);
    child.on('close', (code, signal) => {
      if (code === 0) return done(Buffer.concat(out).toString());
      const end = Buffer.concat(all).toString().slice(-2000);
      failed(new Error(`${program} ${args.join(' ').slice(0, 300)} ended with ${code ?? signal}:\n${end}`));
    });
  });
}

/** Does `work` for each of `items`, a few at a time; results in their order. */
export async function inParallel(items, work, workers = 2) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const i = next++;
      results[i] = await work(items[i]);
    }
  };
  await Promise.all(Array.from({ length: workers }, worker));
  return results;
}
