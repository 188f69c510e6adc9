// From the vision tower's positions to the prompt's: the same runs, but other positions and rows. A derived run has
// rows of its own in the next stage where it has them in the stage before.

import { NoticeError } from '../errors.ts';
import { rowsOf, type Tensor, type Work } from '../gpu/index.ts';
import { gatherRows } from '../kernels/index.ts';
import type { ModelRun } from './model.ts';
import { type LivePosition, placeOf, sequenceIn, tokenRuns } from './sequences.ts';
import { Sequence } from './tower/index.ts';

/**
 * Runs of a tower's positions from `first` to `end` (exclusive; default all).
 *
 * @param runs bases before what is derived from them
 * @returns for each run its counterpart, and which rows of the tower the counterparts' rows are
 */
export function runsFrom(
  runs: readonly Sequence[],
  first: number,
  end = Number.POSITIVE_INFINITY,
): { selected: ReadonlyMap<Sequence, Sequence>; rows: Uint32Array } {
  const selected = new Map<Sequence, Sequence>();
  const rows: number[] = [];
  for (const run of runs) {
    const own = new Sequence(Math.min(end, run.length) - first, { base: run.base && selected.get(run.base) });
    for (const position of run.ownPositions) {
      if (position < first || position >= end) continue;
      own.rows[position - first] = rows.length;
      rows.push(run.rows[position] as number);
    }
    selected.set(run, own);
  }
  return { selected, rows: Uint32Array.from(rows) };
}

/** Makes the runs of a stage that works on the rows of the one before it; a run that departs in it gets its own. */
export function followingRuns(runs: readonly ModelRun[], before: string, stage: string): void {
  const roots = new Map<Sequence, Sequence>();
  for (const run of runs) {
    const source = sequenceIn(run, before);
    const base = run.base && {
      source: sequenceIn(run.base, before),
      run: sequenceIn(run.base, stage),
    };
    if (base?.source === source) {
      const departs = run.departsIn.has(stage);
      run.towers.set(stage, departs ? new Sequence(source.length, { base: base.run }) : base.run);
      continue;
    }
    // A derived run may have another image than its base; then its features have nothing to do with the base's.
    const derived = base !== undefined && source.base === base.source;
    const known = derived ? undefined : roots.get(source);
    const own = known ?? new Sequence(source.length, { base: derived ? base.run : undefined });
    own.rows.set(source.rows);
    if (!derived) roots.set(source, own);
    run.towers.set(stage, own);
  }
}

/**
 * The first residual stream of a language model that reads the features among the prompt's tokens, as {@link promptRows}
 * says; makes its runs.
 *
 * @param features the projector's output
 */
export function embedPrompts(
  w: Work,
  language: { embed(w: Work, ids: readonly number[]): Tensor },
  runs: readonly ModelRun[],
  imageToken: number,
  features: Tensor,
): Tensor {
  const { tokens, features: rows } = promptRows(runs, imageToken);
  // Rows of image features are looked up as token 0 and then overwritten.
  const x = language.embed(w, [...tokens.map(({ id }) => id), ...new Array<number>(rows.length).fill(0)]);
  gatherRows(w, features, rows, rowsOf(x, tokens.length, rows.length));
  return x;
}

/** What stands at each row of the language model's first residual stream: tokens, then image features. */
export interface PromptRows {
  readonly tokens: readonly LivePosition[];
  /** Rows of the projector's output. */
  readonly features: Uint32Array;
}

/**
 * Makes the runs of the language model. The prompt's image tokens, wherever they stand, are the image's features in
 * order; a derived run gets rows for those of its features that differ from its base's.
 *
 * @throws NoticeError('text') if a prompt has not as many image tokens as there are features
 */
export function promptRows(runs: readonly ModelRun[], imageToken: number): PromptRows {
  const tokens = tokenRuns(runs, 'language', undefined, (id) => id !== imageToken);
  const features: number[] = [];
  const indexOf = featureIndex(imageToken);
  for (const run of runs) {
    const { base } = run;
    const own = sequenceIn(run, 'projector');
    const index = indexOf(run.sample.ids);
    const count = index.filter((feature) => feature >= 0).length;
    if (count !== own.length)
      throw new NoticeError(
        'text',
        `the prompt has ${count} image tokens (id ${imageToken}), the image ${own.length} features; ` +
          "the model's expand() puts in as many as are needed",
      );
    const baseIndex = base && indexOf(base.sample.ids);
    const sameFeatures = base && sequenceIn(base, 'projector') === own;
    const language = sequenceIn(run, 'language');
    index.forEach((feature, p) => {
      if (feature < 0) return;
      const samePlace = base && baseIndex?.[p] === feature && placeOf(base, p) === placeOf(run, p);
      if (samePlace && (sameFeatures || !own.owns(feature))) return;
      language.rows[p] = tokens.length + features.length;
      features.push(own.row(feature));
    });
  }
  return { tokens, features: Uint32Array.from(features) };
}

/** For every position of a prompt which of the image's features stands there; −1 for text. */
function featureIndex(imageToken: number): (ids: readonly number[]) => Int32Array {
  const known = new Map<readonly number[], Int32Array>();
  return (ids) => {
    let index = known.get(ids);
    if (!index) {
      let next = 0;
      index = Int32Array.from(ids, (id) => (id === imageToken ? next++ : -1));
      known.set(ids, index);
    }
    return index;
  };
}
