// Edges of attention that a probe takes out (knock-out): a mask by query, key and head besides the tower's own. Scores of cut
// edges are −infinity before anybody looks at them, so their pattern is 0; a query with no edge left has pattern 0 and z = 0.

import { NoticeError } from '../../errors.ts';
import type { Tensor, Work } from '../../gpu/index.ts';
import { type AttentionChunk, cutScores, type ScoreCut } from '../../kernels/index.ts';
import type { Attendance } from './attend.ts';
import type { KeyRange } from './mask.ts';
import type { Sequence } from './sequence.ts';

/** Edges from some keys to some queries of a run. */
export interface Cut {
  /** The run, and behind it those derived from it, in which the edges are missing as well. */
  readonly runs: readonly Sequence[];
  readonly queries: readonly number[];
  /** Positions of keys, in order. */
  readonly keys: readonly KeyRange[];
  /** Default all. */
  readonly heads: readonly number[] | undefined;
  /** Index of its counter. */
  readonly counter: number;
  /** Whether a position with no edge left gets nothing from this attention, not even the bias of its output. */
  readonly silent: boolean;
  /** Told how many edges were there to be cut. */
  found(edges: number): void;
}

/** What is cut in one attention. */
export interface Cuts {
  readonly list: readonly Cut[];
  /** Counters (u32) of the edges that were cut. */
  readonly fired: GPUBuffer;
}

/** The cuts of a layout, by entries of its plan. */
export function cutsOf(
  { list }: Cuts,
  { plan, entryOf, queries }: Attendance,
  heads: number,
  name: string,
): ScoreCut[] {
  return list.flatMap(({ runs, queries: positions, keys, heads: chosen, counter, found }) => {
    const beyond = chosen?.find((head) => head >= heads);
    if (beyond !== undefined)
      throw new NoticeError('hook', `${name}: head ${beyond} does not exist, there are ${heads}`);
    const parts = chosen ? ranges(chosen) : [{ first: 0, end: heads }];
    const cuts: ScoreCut[] = [];
    // A run without an entry of its own reads that of its base.
    const done = new Set<number>();
    for (const run of runs) {
      for (const position of positions) {
        const entry = entryOf(run, position);
        if (entry < 0 || done.has(entry)) continue;
        done.add(entry);
        const query = queries[entry] as Attendance['queries'][number];
        // Columns of an entry begin at some key at or before the first that it sees.
        const column = query.keys - (plan.entries[4 * entry + 2] as number);
        for (const range of keys) {
          const first = Math.max(range.first - query.start, query.first);
          const columns = Math.min(range.end - query.start, query.keys) - first;
          if (columns <= 0) continue;
          for (const { first: firstHead, end } of parts)
            cuts.push({
              entry,
              firstHead,
              heads: end - firstHead,
              firstColumn: first - column,
              columns,
              counter,
            });
        }
      }
    }
    found(cuts.reduce((sum, cut) => sum + cut.heads * cut.columns, 0));
    return cuts;
  });
}

/** Cuts the edges of a chunk's entries. */
export function cutChunk(
  w: Work,
  scores: Tensor,
  heads: number,
  { firstEntry, entries }: AttentionChunk,
  cuts: readonly ScoreCut[],
  fired: GPUBuffer,
): void {
  const own = cuts.filter(({ entry }) => entry >= firstEntry && entry < firstEntry + entries);
  cutScores(
    w,
    scores,
    heads,
    own.map((cut) => ({ ...cut, entry: cut.entry - firstEntry })),
    fired,
  );
}

/** Rows of the stream that may be left without an edge and then are to get nothing. */
export function silentRows({ list }: Cuts): number[] {
  const rows = new Set<number>();
  for (const { runs, queries, silent } of list)
    if (silent)
      for (const run of runs)
        for (const position of queries) if (run.owns(position)) rows.add(run.rows[position] as number);
  return [...rows];
}

/** Numbers as ranges of neighbours. */
export function ranges(numbers: readonly number[]): KeyRange[] {
  const found: { first: number; end: number }[] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last?.end === number) last.end++;
    else found.push({ first: number, end: number + 1 });
  }
  return found;
}
