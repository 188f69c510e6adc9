// A model that is to be opened: what its weights would take, and what is kept of those that were.

import { signal } from '@preact/signals';
import type { WeightDtype } from '../../models/index.ts';
import type { StoredListing } from '../../weights/file-store.ts';
import type { ModelChoice, ModelPlan } from '../protocol/session.ts';
import { doing, openModel, problem, report } from './app.ts';
import { cancel, run } from './engine.ts';

/** What a chosen model would take; it waits to be loaded. */
export const plan = signal<ModelPlan | undefined>(undefined);
/** What the weights are to be stored as; undefined: as in the file. */
export const dtype = signal<WeightDtype | undefined>(undefined);
export const stored = signal<readonly StoredListing[]>([]);

/** Reads what the weights of a model would take, and loads nothing. */
export async function planModel(choice: ModelChoice): Promise<void> {
  plan.value = undefined;
  dtype.value = undefined;
  problem.value = undefined;
  await doing('Reading what the model takes', async () => {
    plan.value = await run('plan', choice);
  });
}

/** Loads the planned model. */
export async function loadPlanned(): Promise<void> {
  const chosen = plan.value;
  if (!chosen) return;
  plan.value = undefined;
  await openModel({ model: chosen.choice, dtype: dtype.value });
  await listStored();
}

export function cancelLoading(): void {
  cancel('open');
}

/** What the browser keeps of remote models; `forget` names a folder that it is to delete before. */
export async function listStored(forget?: string): Promise<void> {
  try {
    stored.value = await run('stored', { forget });
  } catch (error) {
    report(error);
  }
}
