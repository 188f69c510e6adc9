// The page's side of the worker: typed calls that are cancelled when a newer one takes their place.

import { proxy, type Remote, wrap } from 'comlink';
import type { Engine, Problem, TaskName, Tasks } from '../protocol.ts';

/** An error that a task ended with. */
export class TaskError extends Error {
  /** Code of a NoticeError; undefined for a defect of the page itself. */
  readonly code: string | undefined;

  constructor({ name, code, message }: Problem) {
    super(message);
    this.name = name;
    this.code = code;
  }
}

export interface RunOptions<Event> {
  readonly signal?: AbortSignal;
  /** Called with what the task tells before its end. */
  readonly onEvent?: (event: Event) => void;
  /** Calls of the same key replace each other; default the task's name. */
  readonly key?: string;
}

let worker: Remote<Engine> | undefined;
let lastId = 0;
const running = new Map<string, AbortController>();

function engine(): Remote<Engine> {
  worker ??= wrap<Engine>(
    new Worker(new URL('../engine/worker.ts', import.meta.url), { type: 'module', name: 'engine' }),
  );
  return worker;
}

/**
 * Does a task in the worker. A call that is under way under the same key is cancelled.
 *
 * @throws TaskError; an AbortError if it was cancelled, see {@link isCancelled}
 */
export async function run<Name extends TaskName>(
  name: Name,
  args: Tasks[Name]['args'],
  { signal, onEvent, key = name }: RunOptions<Tasks[Name]['event']> = {},
): Promise<Tasks[Name]['result']> {
  cancel(key);
  const controller = new AbortController();
  running.set(key, controller);
  const cancelled = signal ? AbortSignal.any([signal, controller.signal]) : controller.signal;
  cancelled.throwIfAborted();
  const remote = engine();
  const id = ++lastId;
  const stop = () => void remote.cancel(id);
  cancelled.addEventListener('abort', stop, { once: true });
  try {
    const tell = (event: Tasks[Name]['event']) => {
      if (!cancelled.aborted) onEvent?.(event);
    };
    // comlink's types take generic methods apart: `Outcome` of which task is lost on the way.
    const outcome = await (remote.run as unknown as Engine['run'])(id, name, args, proxy(tell));
    cancelled.throwIfAborted();
    if (!outcome.ok) throw new TaskError(outcome.problem);
    return outcome.value;
  } finally {
    cancelled.removeEventListener('abort', stop);
    if (running.get(key) === controller) running.delete(key);
  }
}

/** Cancels what runs under a key. */
export function cancel(key: string): void {
  running.get(key)?.abort();
  running.delete(key);
}

/** Whether an error only says that something was cancelled. */
export function isCancelled(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError';
}
