// The command line in this process, and the built one in processes of its own, as a user runs it.

import { execFile, spawn } from 'node:child_process';
import { Console } from 'node:console';
import { copyFile, mkdir, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, type MockInstance, vi } from 'vitest';
import { run as runCommand } from '../../src/cli/main.ts';
import { Gpu } from '../../src/gpu/index.ts';
import { type Pair, readManifest, writeManifest } from '../../src/notice/datasets/index.ts';
import type { NodeGpuOptions } from '../../src/platform/node/adapter.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import { type HostTensor, readTensors } from '../../src/weights/index.ts';
import { testGpu } from '../support/gpu.ts';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const SHAPES = join(ROOT, 'weights/blip-shapes');

const LOCK = join(ROOT, 'node_modules/.notice-build.lock');
/** A build takes seconds; what holds the lock for longer was killed. */
const LOCK_LIFE_MS = 120_000;

/** Builds dist/ before the file's tests if src/ is newer. Of test files that start together one builds, the others wait. */
export function useBuilt(): void {
  beforeAll(async () => {
    while (!(await taken())) await sleep(200);
    try {
      await promisify(execFile)(process.execPath, [join(ROOT, 'tools/setup.mjs'), '--build'], { cwd: ROOT });
    } finally {
      await unlock();
    }
  }, LOCK_LIFE_MS);
}

const unlock = (): Promise<void> => rm(LOCK, { recursive: true, force: true });

async function taken(): Promise<boolean> {
  try {
    await mkdir(LOCK);
    return true;
  } catch {
    const held = await stat(LOCK).catch(() => undefined);
    if (held && Date.now() - held.mtimeMs > LOCK_LIFE_MS) await unlock();
    return false;
  }
}

export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The tests' own environment but for what steers the hub and endpoints, and `more`. */
function environment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(HF_|HUGGING|TRANSFORMERS_OFFLINE|OPENAI_)/.test(name),
  );
  return { ...Object.fromEntries(own), ...more };
}

interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface ProcessOptions extends RunOptions {
  /** Kills the process without warning; its status is then null. */
  readonly killAfterMs?: number;
  /** Sends SIGTERM when this is fulfilled. */
  readonly terminateWhen?: Promise<unknown>;
}

/** Runs the built `notice` in a process of its own: for what only a process can show. It compiles every kernel anew. */
export function noticeProcess(
  args: readonly string[],
  { cwd = ROOT, env = {}, killAfterMs, terminateWhen }: ProcessOptions = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [join(ROOT, 'bin/notice.mjs'), ...args], {
    cwd,
    env: environment(env),
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  const timer = killAfterMs && setTimeout(() => child.kill('SIGKILL'), killAfterMs);
  void terminateWhen?.then(() => child.kill('SIGTERM'));
  return new Promise((done, failed) => {
    child.on('error', failed);
    child.on('close', (status) => {
      clearTimeout(timer);
      done({ status, ...text });
    });
  });
}

let last: Promise<unknown> = Promise.resolve();

/** Runs `notice` with these arguments in this process, on the tests' device; one after another. */
export function notice(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const outcome = last.then(() => inThisProcess(args, options));
  last = outcome.catch(() => {});
  return outcome;
}

async function inThisProcess(
  args: readonly string[],
  { cwd = ROOT, env = {} }: RunOptions,
): Promise<Outcome> {
  const before = { cwd: process.cwd(), env: process.env, exitCode: process.exitCode, console };
  const text = { stdout: '', stderr: '' };
  await testGpu(); // opened as ever, before its opening is replaced
  const spies = [onTestDevice()];
  for (const name of ['stdout', 'stderr'] as const)
    spies.push(
      vi.spyOn(process[name], 'write').mockImplementation((chunk, ...rest: unknown[]) => {
        text[name] += chunk;
        for (const done of rest) if (typeof done === 'function') done();
        return true;
      }),
    );
  try {
    process.chdir(cwd);
    process.env = environment(env);
    process.exitCode = undefined;
    globalThis.console = new Console(process.stdout, process.stderr);
    await runCommand(['node', 'notice', ...args]);
    return { status: Number(process.exitCode), ...text };
  } finally {
    for (const spy of spies) spy.mockRestore();
    globalThis.console = before.console;
    process.chdir(before.cwd);
    process.env = before.env;
    process.exitCode = before.exitCode;
  }
}

/** Devices by what was asked of them. */
const devices = new Map<string, Promise<Gpu>>([['{}', testGpu()]]);

/** A command opens a device and closes it: here one of those that stay, with the kernels that they have compiled. */
function onTestDevice(): MockInstance {
  const create = Gpu.create.bind(Gpu);
  return vi.spyOn(Gpu, 'create').mockImplementation(async (adapter, entry, options = {}) => {
    const { tuning, freeHostMemory, adapter: _, ...asked } = options as NodeGpuOptions;
    const key = JSON.stringify(asked);
    const device = devices.get(key) ?? create(adapter, entry, options);
    devices.set(key, device);
    const gpu = await device;
    gpu.destroy = () => {};
    return gpu;
  });
}

/**
 * Runs several command lines one after another in one child process, which saves the start of each: for those that end
 * before a model is opened.
 */
export async function notices(
  lines: readonly (readonly string[])[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome[]> {
  const child = `
    const { run } = await import(${JSON.stringify(new URL('../../dist/cli/main.js', import.meta.url).href)});
    const outcomes = [];
    const write = process.stdout.write.bind(process.stdout);
    for (const args of JSON.parse(process.argv[1])) {
      const outcome = { status: null, stdout: '', stderr: '' };
      for (const name of ['stdout', 'stderr']) process[name].write = (text) => ((outcome[name] += text), true);
      process.exitCode = undefined;
      await run(['node', 'notice', ...args]);
      outcomes.push({ ...outcome, status: process.exitCode });
    }
    process.exitCode = 0;
    write(JSON.stringify(outcomes));
  `;
  const node = ['--input-type=module', '-e', child, JSON.stringify(lines)];
  const options = { cwd: ROOT, env: environment(env) };
  const { stdout } = await promisify(execFile)(process.execPath, node, options);
  return JSON.parse(stdout) as Outcome[];
}

/** Runs `notice`; anything but success is an error that shows what it said. */
export const run: typeof notice = async (...args) => succeeded(args[0], await notice(...args));

/** As {@link run}, in a process of its own. */
export const runProcess: typeof noticeProcess = async (...args) =>
  succeeded(args[0], await noticeProcess(...args));

function succeeded(args: readonly string[], outcome: Outcome): Outcome {
  if (outcome.status === 0) return outcome;
  const { status, stdout, stderr } = outcome;
  throw new Error(`notice ${args.join(' ')}: status ${status}\n${stdout}\n${stderr}`);
}

export async function tensorsOf(file: string): Promise<Map<string, HostTensor>> {
  const source = await fileSource(file);
  try {
    return await readTensors(source);
  } finally {
    await source.close();
  }
}

/** The first `n` pairs of an embedded data set as `folder/name.csv`, with copies of their images. */
export async function smallManifest(folder: string, task: string, n: number, name = task): Promise<void> {
  const { pairs } = await readManifest(join(ROOT, `data/${task}.csv`));
  const copy = async (image: string): Promise<string> => {
    const file = join(folder, name, basename(image));
    await mkdir(dirname(file), { recursive: true });
    await copyFile(image, file);
    return file;
  };
  const own: Pair[] = [];
  for (const pair of pairs.slice(0, n)) {
    const [cleanImage, corruptImage] = [await copy(pair.cleanImage), await copy(pair.corruptImage)];
    own.push({ ...pair, cleanImage, corruptImage });
  }
  await writeManifest(join(folder, `${name}.csv`), own);
}
