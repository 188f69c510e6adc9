// The worker in which everything heavy runs: a table of tasks behind comlink.

import { expose, proxy } from 'comlink';
import { NoticeError } from '../../errors.ts';
import type { Engine, Problem, TaskName } from '../protocol.ts';
import { Session } from './session.ts';
import { tasks } from './tasks.ts';

/** Tasks that need no open model. */
const INDEPENDENT: readonly TaskName[] = ['open', 'plan', 'stored'];

const session = new Session();
/** Settled when the model is open that was asked for last: its pair waits for it. */
let opened: Promise<unknown> = Promise.resolve();
/** Settled when its pair is prepared, too, or there is no model: everything else waits for it. */
let prepared: Promise<unknown> = Promise.resolve();
/** Says that the pair of the model that is open, or on its way, has been asked for. */
let pairAsked: (pair: Promise<unknown>) => void = () => {};
const running = new Map<number, AbortController>();

const engine: Engine = {
  async run(id, name, args, onEvent) {
    const controller = new AbortController();
    running.set(id, controller);
    const { signal } = controller;
    let told: unknown;
    const emit: typeof onEvent = (event) => {
      if (!signal.aborted) told = onEvent(event);
    };
    const before = INDEPENDENT.includes(name) ? undefined : name === 'pair' ? opened : prepared;
    const work = (async () => {
      await before;
      signal.throwIfAborted();
      return tasks[name](session, args, { signal, emit });
    })();
    const done = work.catch(() => {});
    if (name === 'open') {
      const asked = new Promise((resolve) => {
        pairAsked = resolve;
      });
      opened = done;
      prepared = work.then(() => asked).catch(() => {});
    }
    if (name === 'pair') {
      pairAsked(done);
      prepared = done;
    }
    try {
      const value = await work;
      await told; // events have a port of their own, and none may come after the end
      return { ok: true, value };
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
