// Runs of a tower that reads tokens, and which of their positions have to be embedded.

import { NoticeError } from '../errors.ts';
import type { ModelRun } from './model.ts';
import { Run } from './tower/index.ts';

/** A position that needs a row: what stands there. */
export interface LivePosition {
  readonly id: number;
  readonly place: number;
}

/**
 * Makes the runs of a token-reading tower and gives a row to every position of a root run, and to those positions of
 * derived runs whose token differs from the base's.
 *
 * @param tower name under which each model run keeps its run
 * @param memoryOf the run of another tower that a run attends to
 * @returns what stands at each row, in order
 */
export function tokenRuns(
  runs: readonly ModelRun[],
  tower: string,
  memoryOf: (run: ModelRun) => Run | undefined = () => undefined,
): LivePosition[] {
  const rows: LivePosition[] = [];
  for (const modelRun of runs) {
    const { sample, base } = modelRun;
    if (sample.ids.length === 0) throw new NoticeError('text', 'a prompt without any token');
    if (base && base.sample.ids.length !== sample.ids.length)
      throw new NoticeError(
        'text',
        `a derived run has ${sample.ids.length} tokens, its base ${base.sample.ids.length}: runs are compared position by position`,
      );
    const run = new Run(sample.ids.length, { base: base?.towers.get(tower), memory: memoryOf(modelRun) });
    sample.ids.forEach((id, p) => {
      const place = placeOf(modelRun, p);
      if (base && base.sample.ids[p] === id && placeOf(base, p) === place) return;
      run.rows[p] = rows.length;
      rows.push({ id, place });
    });
    modelRun.towers.set(tower, run);
  }
  return rows;
}

/** Position id of a run's position. */
export function placeOf({ sample }: ModelRun, position: number): number {
  return sample.places?.[position] ?? position;
}

/** A run's run in a tower. */
export function towerRun(run: ModelRun, tower: string): Run {
  const found = run.towers.get(tower);
  if (!found) throw new Error(`the run has not reached ${tower}`);
  return found;
}
