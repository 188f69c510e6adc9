// What the page and its worker say to each other: plain data that can be cloned, task by task. Types only.

import type { PatchingTasks } from './protocol/patching.ts';
import type { ReadingTasks } from './protocol/reading.ts';
import type { SessionTasks } from './protocol/session.ts';

/** All of them by name. */
export interface Tasks extends SessionTasks, PatchingTasks, ReadingTasks {}
export type TaskName = keyof Tasks;

/** An error as it crosses from the worker: `code` is that of a NoticeError. */
export interface Problem {
  readonly name: string;
  readonly code: string | undefined;
  readonly message: string;
}

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem };

/** What the worker offers the page (by comlink). */
export interface Engine {
  /** Does a task; never rejects. `onEvent` is a proxy. */
  run<Name extends TaskName>(
    id: number,
    name: Name,
    args: Tasks[Name]['args'],
    onEvent: (event: Tasks[Name]['event']) => void,
  ): Promise<Outcome<Tasks[Name]['result']>>;
  /** Aborts the task that was started under `id`. */
  cancel(id: number): void;
}
