// What the page knows: the open model, the pair that is looked at, what is under way, what went wrong.

import { signal } from '@preact/signals';
import type { LoadProgress, ModelInfo, OpenSpec, PairInfo, PairSpec } from '../protocol/session.ts';
import { isCancelled, run, TaskError } from './engine.ts';

export const model = signal<ModelInfo | undefined>(undefined);
export const pair = signal<PairInfo | undefined>(undefined);
/** How far the model that is being opened is. */
export const loading = signal<LoadProgress | undefined>(undefined);
/** What the page is doing, in a few words; undefined when it is idle. */
export const busy = signal<string | undefined>(undefined);
/** What went wrong last, in a sentence with its cure. */
export const problem = signal<{ readonly message: string; readonly code: string | undefined } | undefined>(
  undefined,
);

/** Opens a model; what was known of the one before is forgotten. */
export async function openModel(spec: OpenSpec): Promise<void> {
  pair.value = undefined;
  model.value = undefined;
  await doing('Opening the model', async () => {
    model.value = await run('open', spec, {
      onEvent: (progress) => {
        loading.value = progress;
      },
    });
  });
  loading.value = undefined;
}

/** Prepares a pair for the open model and asks both runs. */
export async function choosePair(spec: PairSpec): Promise<void> {
  await doing('Asking the model', async () => {
    pair.value = await run('pair', spec);
  });
}

/** Does something whose errors the page shows; cancelled is no error. */
export async function doing(what: string, work: () => Promise<void>): Promise<void> {
  busy.value = what;
  try {
    await work();
    problem.value = undefined;
  } catch (error) {
    if (!isCancelled(error)) report(error);
  } finally {
    if (busy.value === what) busy.value = undefined;
  }
}

/** Shows an error at the top of the page. */
export function report(error: unknown): void {
  const { message } = error instanceof Error ? error : new Error(String(error));
  problem.value = { message, code: error instanceof TaskError ? error.code : undefined };
}
