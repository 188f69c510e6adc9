// The other end of host.ts: starts the process, and ends it where a test does not.

import { type ChildProcess, spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Answer, Request } from './host.ts';

/** A mutation can make a list that grows for ever. */
const MOST_BYTES = 6 * 2 ** 30;
const PAGE_BYTES = 4096;

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

  /** Runs tests; `timeout` if they take longer than `seconds`, or more memory than there should be. */
  async ask(request: Request, seconds: number): Promise<Answer | 'timeout'> {
    const child = this.#child ?? (await this.#start(request.all ? this.#reached : ''));
    const changed = [...new Set([...request.changed, ...this.#touched])];
    this.#touched.clear();
    const answer = new Promise<Answer | 'timeout'>((settle, fail) => {
      const deadline = Date.now() + 1000 * seconds;
      const watch = setInterval(() => {
        if (Date.now() < deadline && memoryOf(child.pid as number) < MOST_BYTES) return;
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

/** Bytes that the processes of a group hold together, as far as the system says so (Linux). */
function memoryOf(leader: number): number {
  const childrenOf = (pid: number): number[] => {
    try {
      return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    } catch {
      return [];
    }
  };
  const bytesOf = (pid: number): number => {
    try {
      return PAGE_BYTES * Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
    } catch {
      return 0;
    }
  };
  const all = [leader];
  for (const pid of all) all.push(...childrenOf(pid));
  return all.reduce((sum, pid) => sum + bytesOf(pid), 0);
}
