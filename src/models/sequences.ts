// Runs of a tower that reads tokens, and which of their positions have to be embedded.

import { checkWholes } from '../check.ts';
import { NoticeError, ShapeError } from '../errors.ts';
import type { ModelRun } from './model.ts';
import { Sequence } from './tower/index.ts';

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
 * @param isText ids that are looked up; positions of others get no rows here
 * @returns what stands at each row, in order
 * @throws NoticeError('text'), ShapeError
 */
export function tokenRuns(
  runs: readonly ModelRun[],
  tower: string,
  memoryOf: (run: ModelRun) => Sequence | undefined = () => undefined,
  isText: (id: number) => boolean = () => true,
): LivePosition[] {
  const rows: LivePosition[] = [];
  for (const modelRun of runs) {
    const { sample, base } = modelRun;
    if (sample !== base?.sample) {
      checkWholes(sample.ids, "a prompt's token ids");
      if (sample.places) checkWholes(sample.places, "a prompt's position ids");
    }
    if (sample.ids.length === 0) throw new NoticeError('text', 'a prompt without any token');
    if (sample.places && sample.places.length !== sample.ids.length)
      throw new ShapeError(
        `${sample.places.length} position ids for a prompt of ${sample.ids.length} tokens`,
      );
    if (base && base.sample.ids.length !== sample.ids.length)
      throw new NoticeError(
        'text',
        `a derived run has ${sample.ids.length} tokens, its base ${base.sample.ids.length}: runs are compared position by position`,
      );
    const run = new Sequence(sample.ids.length, {
      base: base?.towers.get(tower),
      memory: memoryOf(modelRun),
    });
    sample.ids.forEach((id, p) => {
      if (!isText(id)) return;
      const place = placeOf(modelRun, p);
      if (base && base.sample.ids[p] === id && placeOf(base, p) === place) return;
      run.rows[p] = rows.length;
      rows.push({ id, place });
    });
    modelRun.towers.set(tower, run);
  }
  return rows;
}

/** Position id of a run's position; those of an answer go on from the prompt's last. */
export function placeOf({ places, sample }: ModelRun, position: number): number {
  const ids = places?.ids ?? sample.places;
  if (!ids) return position;
  const behind = position - ids.length;
  return behind < 0 ? (ids[position] as number) : (places?.next ?? (ids.at(-1) as number) + 1) + behind;
}

/** What a run is in a tower. */
export function sequenceIn(run: ModelRun, tower: string): Sequence {
  const found = run.towers.get(tower);
  if (!found) throw new Error(`the run has not reached ${tower}`);
  return found;
}

/** The different sequences in a tower, in order. */
export function sequencesIn(runs: readonly ModelRun[], tower: string): Sequence[] {
  return [...new Set(runs.map((run) => sequenceIn(run, tower)))];
}

/** The position ids of a tower's runs, for rotary embedding. */
export function placesOf(
  runs: readonly ModelRun[],
  tower: string,
): (run: Sequence, position: number) => number {
  const owners = new Map(runs.map((run) => [sequenceIn(run, tower), run]));
  return (run, position) => placeOf(owners.get(run) as ModelRun, position);
}

/** A prompt, or with it what is to be generated, has more positions than the model reads. */
export class TooLongError extends NoticeError {
  override readonly name: string = 'TooLongError';
}

/** @throws TooLongError, code 'text' */
export function checkLength(positions: number, maxPositions: number): void {
  if (positions > maxPositions)
    throw new TooLongError(
      'text',
      `prompt and answer may take ${positions} positions, this model reads at most ${maxPositions}`,
    );
}

/**
 * Makes the runs of `logits`: the last positions of each run in the tower that answers.
 *
 * @param count how many; default the last one alone
 * @returns rows of the tower's stream that the rows of the logits are made of, in order
 */
export function lastPositions(runs: readonly ModelRun[], tower: string, count = 1): Uint32Array {
  const rows: number[] = [];
  for (const run of runs) {
    const { rows: stream, length } = sequenceIn(run, tower);
    const last = new Sequence(count, { base: run.base && sequenceIn(run.base, 'logits') });
    stream.subarray(length - count).forEach((row, token) => {
      if (row >= 0) last.rows[token] = rows.push(row) - 1;
    });
    run.towers.set('logits', last);
  }
  return Uint32Array.from(rows);
}
