// The other end of host.ts: starts the process, and ends it where a test does not.

import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Request } from './host.ts';

/** A mutation can make a list that grows for ever. */
const MOST_BYTES = 6 * 2 ** 30;
const PAGE_BYTES = 4096;
const TICKS_PER_SECOND = 100;
/** For tests that wait for what never comes; they have a time limit of their own. */
const LONGEST_WAIT_SECONDS = 600;

export class Hosted {
  readonly #root: string;
  readonly #reached: string;
  readonly #log: string;
  #child: ChildProcess | undefined;
  /** Files that have changed since the last request. */
  readonly #touched = new Set<string>();

  /**
   * @param root of the copy
   * @param reached where the tests write what they come past
   * @param log where the process's output goes
   */
  constructor(root: string, reached: string, log: string) {
    this.#root = root;
    this.#reached = reached;
    this.#log = log;
  }

  touch(file: string): void {
    this.#touched.add(file);
  }

  /**
   * Runs tests; `timeout` if they compute for longer than `seconds`, or take more memory than there should be. It is the
   * processors' time that counts, so that other work on the machine makes no difference.
   */
  async ask(request: Request, seconds: number): Promise<Answer | 'timeout'> {
    const child = this.#child ?? (await this.#start(request.all ? this.#reached : ''));
    const changed = [...new Set([...request.changed, ...this.#touched])];
    this.#touched.clear();
    const answer = new Promise<Answer | 'timeout'>((settle, fail) => {
      const deadline = Date.now() + 1000 * Math.max(LONGEST_WAIT_SECONDS, seconds);
      const before = usageOf(child.pid as number).seconds;
      const watch = setInterval(() => {
        const used = usageOf(child.pid as number);
        if (Date.now() < deadline && used.seconds - before < seconds && used.bytes < MOST_BYTES) return;
        done();
        this.stop();
        settle('timeout');
      }, 1000);
      const onMessage = (message: Answer & { error?: string }) => {
        done();
        if (message.error) fail(new Error(message.error));
        else settle(message);
      };
      const onExit = () => {
        done();
        this.#child = undefined;
        settle({ failed: 'the process of the tests ended' });
      };
      const done = () => {
        clearInterval(watch);
        child.off('message', onMessage);
        child.off('exit', onExit);
      };
      child.on('message', onMessage);
      child.on('exit', onExit);
    });
    child.send({ ...request, changed });
    const result = await answer;
    // The next requests are not to be counted with the tests' own.
    if (request.all) this.stop();
    return result;
  }

  async #start(reached: string): Promise<ChildProcess> {
    const log = openSync(this.#log, 'a');
    const child = spawn(process.execPath, [join(this.#root, 'test/mutants/run.mjs'), '--host', this.#root], {
      cwd: this.#root,
      stdio: ['ignore', log, log, 'ipc'],
      detached: true, // a group of its own, to be ended as a whole
      env: { ...process.env, MUTANTS_REACHED: reached },
    });
    this.#child = child;
    await new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      child.once('exit', () => reject(new Error(`vitest did not start; see ${this.#log}`)));
    });
    return child;
  }

  /** Ends the process and its workers. */
  stop(): void {
    const pid = this.#child?.pid;
    this.#child?.removeAllListeners();
    this.#child = undefined;
    if (pid === undefined) return;
    try {
      process.kill(-pid, 'SIGKILL');
    } catch {} // it has ended by itself
  }
}

/** What a process and those that it started hold, and have computed, as far as the system says so (Linux). */
function usageOf(leader: number): { bytes: number; seconds: number } {
  const read = (path: string) => {
    try {
      return readFileSync(`/proc/${path}`, 'utf8');
    } catch {
      return ''; // it has ended meanwhile
    }
  };
  const all = [leader];
  for (const pid of all)
    all.push(...read(`${pid}/task/${pid}/children`).split(' ').filter(Boolean).map(Number));
  let [bytes, seconds] = [0, 0];
  for (const pid of all) {
    bytes += PAGE_BYTES * Number(read(`${pid}/statm`).split(' ')[1] ?? 0);
    // Behind the name in brackets: state, …, and as 12th to 15th the times of the process and of its children that have ended.
    const times = read(`${pid}/stat`)
      .replace(/^.*\) /s, '')
      .split(' ')
      .slice(11, 15);
    seconds += times.reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SECOND;
  }
  return { bytes, seconds };
}
