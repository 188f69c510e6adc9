// What the page knows: the open model, the pair that is looked at, what is under way, what went wrong.

import { signal } from '@preact/signals';
import type { LoadProgress } from '../../models/index.ts';
import { FIRST_MODEL, FIRST_PAIR } from '../first-pair.ts';
import type { ModelInfo, OpenSpec, PairInfo, PairSpec } from '../protocol/session.ts';
import { isCancelled, run, TaskError } from './engine.ts';
import { embeddedPairs, fetchFirst, fetchPairs, specOf } from './first.ts';

export const model = signal<ModelInfo | undefined>(undefined);
export const pair = signal<PairInfo | undefined>(undefined);
/** Whether what is known at once is there: nothing is drawn before, so that nothing moves when it comes. */
export const begun = signal(false);
/** How far the model that is being opened is, and since when. */
export const loading = signal<(LoadProgress & { readonly since: number }) | undefined>(undefined);
/** What the page is doing, in a few words; undefined when it is idle. */
export const busy = signal<string | undefined>(undefined);
/** What went wrong last, in a sentence with its cure. */
export const problem = signal<{ readonly message: string; readonly code: string | undefined } | undefined>(
  undefined,
);
/** What was asked for last, also where it failed: to try again. */
let lastModel: OpenSpec = { model: { kind: 'embedded', name: FIRST_MODEL } };
let lastPair: PairSpec = FIRST_PAIR;

/** What is to be opened; an embedded pair by its name. What is left out is as the page opens by itself. */
export interface Wish {
  readonly model?: OpenSpec | undefined;
  readonly pair?: string | PairSpec | undefined;
}

/** Opens the page; the first pair's numbers of the build are shown until its model is there. */
export async function start(wish: Wish = {}): Promise<void> {
  const pairs = fetchPairs().catch(report);
  lastModel = wish.model ?? { model: { kind: 'embedded', name: FIRST_MODEL } };
  lastPair = FIRST_PAIR;
  let missing: string | undefined;
  if (typeof wish.pair === 'object') lastPair = wish.pair;
  else if (wish.pair !== undefined && wish.pair !== FIRST_PAIR.id) {
    await pairs;
    const found = embeddedPairs.value.find(({ id }) => id === wish.pair);
    if (found) lastPair = specOf(found);
    else missing = wish.pair;
  }
  const { model: choice } = lastModel;
  const isFirst = choice.kind === 'embedded' && choice.name === FIRST_MODEL && lastPair === FIRST_PAIR;
  const first = isFirst
    ? fetchFirst().then((known) => {
        model.value ??= known.model;
        pair.value ??= known.pair;
      }, report)
    : Promise.resolve();
  void first.then(() => {
    begun.value = true;
  });
  await Promise.all([first, open(lastModel)]);
  if (missing) report(new Error(`There is no pair ${missing} beside this page: choose its pictures.`));
}

/** Opens a model and asks it the pair that was looked at; what was known of the one before is forgotten. */
export async function openModel(spec: OpenSpec): Promise<void> {
  pair.value = undefined;
  model.value = undefined;
  lastModel = spec;
  problem.value = undefined;
  await open(spec);
}

/** Opens the model that was asked for last once more: on a new device where the old one was lost. */
export function reopen(): Promise<void> {
  return openModel(lastModel);
}

async function open(spec: OpenSpec): Promise<void> {
  let opened = false;
  await doing('Opening the model', async () => {
    try {
      const since = performance.now();
      model.value = await run('open', spec, {
        onEvent: (progress) => {
          loading.value = { ...progress, since };
        },
      });
      opened = true;
    } finally {
      loading.value = undefined;
    }
  });
  if (opened) await ask(lastPair);
}

/** Prepares a pair for the open model and asks all its runs. */
export async function choosePair(spec: PairSpec): Promise<void> {
  lastPair = spec;
  problem.value = undefined;
  await ask(spec);
}

function ask(spec: PairSpec): Promise<void> {
  return doing('Asking the model', async () => {
    pair.value = await run('pair', spec);
  });
}

/** Does something whose errors the page shows; cancelled is no error. */
export async function doing(what: string, work: () => Promise<void>): Promise<void> {
  busy.value = what;
  try {
    await work();
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
