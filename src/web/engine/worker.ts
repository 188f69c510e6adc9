// The worker in which everything heavy runs: a table of tasks behind comlink.

import { expose, proxy } from 'comlink';
import { NoticeError } from '../../errors.ts';
import type { Engine, Problem, TaskName } from '../protocol.ts';
import { Session } from './session.ts';
import { tasks } from './tasks.ts';

/** Tasks that change what others work with. */
const PREPARING: readonly TaskName[] = ['open', 'pair'];
/** Tasks that need no open model. */
const INDEPENDENT: readonly TaskName[] = ['open', 'plan', 'stored'];

const session = new Session();
/** Settled when the last of those is: what was asked for after it waits. */
let prepared: Promise<unknown> = Promise.resolve();
const running = new Map<number, AbortController>();

const engine: Engine = {
  async run(id, name, args, onEvent) {
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    const emit: typeof onEvent = (event) => {
      if (!signal.aborted) onEvent(event);
    };
    const before = INDEPENDENT.includes(name) ? undefined : prepared;
    const work = (async () => {
      await before;
      signal.throwIfAborted();
      return tasks[name](session, args, { signal, emit });
    })();
    if (PREPARING.includes(name)) prepared = work.catch(() => {});
    try {
      return { ok: true, value: await work };
    } catch (error) {
      return { ok: false, problem: problemOf(error) };
    } finally {
      running.delete(id);
    }
  },
  cancel(id) {
    running.get(id)?.abort();
  },
};

function problemOf(error: unknown): Problem {
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return { name, message, code: error instanceof NoticeError ? error.code : undefined };
}

expose(proxy(engine));
