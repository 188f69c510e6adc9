// From the vision tower's positions to the prompt's: the same runs, but other positions and rows. A derived run has
// rows of its own in the next stage where it has them in the stage before.

import { NoticeError } from '../errors.ts';
import { rowsOf, type Tensor, type Work } from '../gpu/index.ts';
import { gatherRows } from '../kernels/index.ts';
import type { ModelRun } from './model.ts';
import { type LivePosition, placeOf, sequenceIn, sequencesIn, tokenRuns } from './sequences.ts';
import { Sequence } from './tower/index.ts';

/** Features made of positions of a tower. */
export interface SelectedFeatures {
  /** Of each of the tower's runs the run of its features. */
  readonly runs: ReadonlyMap<Sequence, Sequence>;
  /** Rows of the tower that the features' rows are made of: those of a feature one behind the other. */
  readonly rows: Uint32Array;
}

/**
 * Runs of features that are made of a tower's positions.
 *
 * @param sources for each feature of a tile (without tiles: of all positions) the tile's positions that it is made of, as
 *   many for each; no position belongs to two
 */
export function selectFeatures(
  runs: readonly Sequence[],
  sources: readonly (readonly number[])[],
): SelectedFeatures {
  const featureOf = new Map(sources.flatMap((positions, f) => positions.map((p) => [p, f] as const)));
  const selected = new Map<Sequence, Sequence>();
  const rows: number[] = [];
  let count = 0;
  for (const run of runs) {
    const { length, tile = length } = run;
    const own = new Sequence((length / tile) * sources.length, {
      base: run.base && selected.get(run.base),
      tile: run.tile && sources.length,
    });
    for (const position of run.ownPositions) {
      const start = position - (position % tile);
      const feature = featureOf.get(position - start);
      if (feature === undefined) continue;
      const at = (start / tile) * sources.length + feature;
      if (own.owns(at)) continue;
      own.rows[at] = count++;
      for (const p of sources[feature] as readonly number[]) rows.push(run.row(start + p));
    }
    selected.set(run, own);
  }
  return { runs: selected, rows: Uint32Array.from(rows) };
}

/** From here on the positions of a tower's runs are those of the features made of them. */
export function adoptFeatures(
  runs: readonly ModelRun[],
  tower: string,
  { runs: selected }: SelectedFeatures,
): Sequence[] {
  for (const run of runs) run.towers.set(tower, selected.get(sequenceIn(run, tower)) as Sequence);
  return sequencesIn(runs, tower);
}

/** The features of several images, one behind the other. */
export function joinedRun(parts: readonly Sequence[]): Sequence {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const rows = parts.flatMap((part) => Array.from({ length: part.length }, (_, p) => part.row(p)));
  const joined = new Sequence(rows.length, { tile: only?.tile });
  joined.rows.set(rows);
  return joined;
}

/** Makes the runs of a stage that works on the rows of the one before it; a run that departs in it gets its own. */
export function followingRuns(runs: readonly ModelRun[], before: string, stage: string): void {
  const roots = new Map<Sequence, Sequence>();
  for (const run of runs) {
    const source = sequenceIn(run, before);
    const base = run.base && { source: sequenceIn(run.base, before), run: sequenceIn(run.base, stage) };
    const known = base?.source === source ? base.run : roots.get(source);
    if (known) {
      const departs = run.departsIn.has(stage);
      run.towers.set(stage, departs ? new Sequence(source.length, { base: known }) : known);
      continue;
    }
    // A run that shares some tiles with another sample's is derived from that one's; with other images from none.
    const derived = base !== undefined && source.base === base.source;
    const above = derived ? base.run : source.base && roots.get(source.base);
    const own = new Sequence(source.length, { base: above, tile: source.tile });
    own.rows.set(source.rows);
    if (!derived) roots.set(source, own);
    run.towers.set(stage, own);
  }
}

/** What stands at each row of the language model's first residual stream: tokens, then image features. */
export interface PromptRows {
  readonly tokens: readonly LivePosition[];
  /** Rows of the features. */
  readonly features: Uint32Array;
}

/**
 * Makes the runs of the language model. The prompt's image tokens, wherever they stand, are the features of its images in
 * order; a derived run gets rows for those of its features that differ from its base's.
 *
 * @param tower the last of the towers that make features
 * @throws NoticeError('text') if a prompt has not as many image tokens as there are features
 */
export function promptRows(runs: readonly ModelRun[], tower: string, imageToken: number): PromptRows {
  const tokens = tokenRuns(runs, 'language', undefined, (id) => id !== imageToken);
  const features: number[] = [];
  const indexOf = featureIndex(imageToken);
  for (const run of runs) {
    const { base } = run;
    const own = sequenceIn(run, tower);
    const index = indexOf(run.sample.ids);
    const count = index.filter((feature) => feature >= 0).length;
    if (count !== own.length)
      throw new NoticeError(
        'text',
        `the prompt has ${count} image tokens (id ${imageToken}), ` +
          `${run.sample.images.length > 1 ? 'its images' : 'the image'} ${own.length} features; ` +
          "the model's expand() puts in as many as are needed",
      );
    const theirs = base && { index: indexOf(base.sample.ids), run: sequenceIn(base, tower) };
    const language = sequenceIn(run, 'language');
    index.forEach((feature, p) => {
      if (feature < 0) return;
      const row = own.row(feature);
      if (
        base &&
        theirs?.index[p] === feature &&
        placeOf(base, p) === placeOf(run, p) &&
        theirs.run.row(feature) === row
      )
        return;
      language.rows[p] = tokens.length + features.length;
      features.push(row);
    });
  }
  return { tokens, features: Uint32Array.from(features) };
}

/**
 * The first residual stream of a language model that reads the features among the prompt's tokens, as {@link promptRows}
 * says; makes its runs.
 *
 * @param features what the last of the image towers made
 */
export function embedPrompts(
  w: Work,
  language: { embed(w: Work, ids: readonly number[]): Tensor },
  runs: readonly ModelRun[],
  tower: string,
  imageToken: number,
  features: Tensor,
): Tensor {
  const { tokens, features: rows } = promptRows(runs, tower, imageToken);
  // Rows of image features are looked up as token 0 and then overwritten.
  const x = language.embed(w, [...tokens.map(({ id }) => id), ...new Array<number>(rows.length).fill(0)]);
  gatherRows(w, features, rows, rowsOf(x, tokens.length, rows.length));
  return x;
}

/** For every position of a prompt which of the images' features stands there; −1 for text. */
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
