// Towers in which learned queries stand before the words (Q-Former): one self-attention for both, but only the queries attend
// to the other tower, and each kind of row has an MLP of its own.

import { rowsOf, type Tensor, type Work } from '../../gpu/index.ts';
import {
  type Activation,
  activate,
  add,
  copyRows,
  gatherRows,
  matmul,
  normalize,
} from '../../kernels/index.ts';
import type { Linear, MlpWeights } from './config.ts';
import { freezeRows } from './frozen.ts';
import type { Sequence } from './sequence.ts';
import { type Frame, passPoint, type Walk } from './walk.ts';

/** A row of the stream and whose it is. */
interface Place {
  readonly run: Sequence;
  readonly position: number;
  readonly row: number;
}

/** The rows of queries and those of words, each in order. */
function rowsOfEach(runs: readonly Sequence[]): { queries: Place[]; words: Place[] } {
  const places = runs
    .flatMap((run) => run.ownPositions.map((position) => ({ run, position, row: run.row(position) })))
    .sort((a, b) => a.row - b.row);
  return {
    queries: places.filter(({ run, position }) => position < run.queries),
    words: places.filter(({ run, position }) => position >= run.queries),
  };
}

/** Words that the stream is without for a while. */
export interface WordsAside {
  readonly x: Tensor;
  readonly places: readonly Place[];
}

/** Takes the rows of words out of the stream: what comes next is not for them. Undefined where there are none. */
export function setWordsAside({ w, runs }: Walk, stream: Frame<'x'>): WordsAside | undefined {
  if (runs.every(({ queries, length }) => queries === length)) return undefined;
  const { queries, words } = rowsOfEach(runs);
  const x = take(w, stream.x, words);
  const rest = take(w, stream.x, queries);
  w.release(stream.x);
  stream.x = rest;
  for (const { run, position } of words) run.rows[position] = -1;
  number(queries);
  return { x, places: words };
}

/** Puts them back, behind the queries. */
export function takeWordsBack({ w }: Walk, stream: Frame<'x'>, { x, places }: WordsAside): void {
  const { rows, columns } = stream.x;
  const joined = w.empty(rows + x.rows, columns, 'queries and words');
  copyRows(w, stream.x, rowsOf(joined, 0, rows));
  copyRows(w, x, rowsOf(joined, rows, x.rows));
  w.release(stream.x, x);
  stream.x = joined;
  number(places, rows);
}

/** The MLPs of a block that normalises after its sublayers, from their input to their output, with their hook points. */
export async function mlpOfEach(
  walk: Walk,
  hook: (point: string) => string,
  stream: Frame<'x'>,
  activation: Activation,
  mlps: { readonly queries: MlpWeights; readonly words: MlpWeights },
): Promise<void> {
  const { w } = walk;
  const of = (part: 'input' | 'output') => [mlps.queries[part], mlps.words[part]] as const;

  order(walk, stream);
  const pre = { x: stream.x, out: linearOfEach(walk, stream.x, of('input')) };
  await passPoint(walk, hook('mlp.hook_pre'), pre, 'out');
  const post = { x: pre.x, out: activate(w, pre.out, activation) };
  w.release(pre.out);
  freezeRows(walk, hook('').split('.')[0] as string, 'mlp', post.out);
  await passPoint(walk, hook('mlp.hook_post'), post, 'out');
  order(walk, post);
  const after = { x: post.x, out: linearOfEach(walk, post.out, of('output')) };
  w.release(post.out);
  await passPoint(walk, hook('hook_mlp_out'), after, 'out');
  stream.x = add(w, after.out, after.x);
  w.release(after.x, after.out);
  await passPoint(walk, hook('hook_resid_post'), stream, 'x');

  const sum = stream.x;
  const queries = order(walk, stream);
  const normalized = normalize(w, stream.x, mlps.queries.norm);
  const words = normalize(w, stream.x, mlps.words.norm);
  const others = sum.rows - queries;
  copyRows(w, rowsOf(words, queries, others), rowsOf(normalized, queries, others));
  w.release(stream.x, words);
  stream.x = normalized;
  await passPoint(walk, hook('hook_normalized_resid_post'), stream, 'x');
}

/** A linear layer of which queries and words have one each. The rows are in {@link order}. */
function linearOfEach({ w, runs }: Walk, x: Tensor, [ofQueries, ofWords]: readonly [Linear, Linear]): Tensor {
  const queries = rowsOfEach(runs).queries.length;
  const out = w.empty(
    x.rows,
    ofQueries.weight.rows,
    `${ofQueries.weight.name} and ${ofWords.weight.name} · x`,
  );
  const apply = ({ weight, bias }: Linear, first: number, count: number) =>
    count > 0 && matmul(w, rowsOf(x, first, count), weight, { bias, out: rowsOf(out, first, count) });
  apply(ofQueries, 0, queries);
  apply(ofWords, queries, x.rows - queries);
  return out;
}

/**
 * Puts the queries' rows before those of words, in every tensor of a frame.
 *
 * @returns how many there are
 */
function order<K extends string>({ w, runs }: Walk, frame: Frame<K>): number {
  const { queries, words } = rowsOfEach(runs);
  const places = [...queries, ...words];
  if (places.some(({ row }, i) => row !== i)) {
    for (const key of Object.keys(frame) as K[]) {
      const ordered = take(w, frame[key], places);
      w.release(frame[key]);
      frame[key] = ordered;
    }
    number(places);
  }
  return queries.length;
}

/** Copies of the rows at some places. */
function take(w: Work, x: Tensor, places: readonly Place[]): Tensor {
  const rows = Uint32Array.from(places, ({ row }) => row);
  return gatherRows(w, x, rows, w.empty(rows.length, x.columns, 'queries or words'));
}

/** Tells the runs that the rows of some places follow each other from `first` on. */
function number(places: readonly Place[], first = 0): void {
  places.forEach(({ run, position }, i) => {
    run.rows[position] = first + i;
  });
}
