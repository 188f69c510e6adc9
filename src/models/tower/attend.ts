// Which rows attention computes, and from what. A run whose keys differ from its base's at one position has new outputs
// at every position that sees it; these positions get rows here. Everything else stays with the base.

import { type AttentionQuery, planAttention } from '../../kernels/index.ts';
import type { Seen } from './mask.ts';
import type { Sequence } from './sequence.ts';

/** What attention needs to know of a run. */
export interface AttentionRun {
  readonly run: Sequence;
  /** Rows of the key and value tensors, by key position. The same array where runs see the same keys. */
  readonly keys: Uint32Array;
  /** Row of the query tensor at a position. */
  queryRow(position: number): number;
  /** Positions that have to be computed, in order. */
  readonly positions: readonly number[];
  /** Keys that a position sees, from place to place in the list. */
  readonly seen: Seen;
  /** Position of the list's first key: where the run's tile begins; default 0. */
  readonly start?: number;
}

interface Query extends AttentionQuery {
  readonly run: Sequence;
  readonly position: number;
  readonly first: number;
  readonly start: number;
}

export interface Attendance {
  readonly plan: ReturnType<typeof planAttention>;
  /** Rows of the residual stream whose copies new rows start from. */
  readonly newRows: Uint32Array;
  /** Of every entry the keys `first` to `keys` (exclusive) of its list that it sees, and the position of the list's first key. */
  readonly queries: readonly Pick<Query, 'first' | 'keys' | 'start'>[];
  /** Index of the entry that computes a run's position; −1 where its base's is read. */
  entryOf(run: Sequence, position: number): number;
}

/**
 * Gives every position that attention computes a row and lays the computation out.
 *
 * @param rows rows of the residual stream so far
 * @param wholeRows whether keys that a position does not see count if their scores or pattern are edited
 */
export function attendance(
  runs: readonly AttentionRun[],
  rows: number,
  heads: number,
  scratchBytes: number,
  wholeRows: boolean,
): Attendance {
  // Lookups see the layout before this attention; rows are assigned only after all of them.
  const wanted = runs.map(({ run, positions, queryRow }) =>
    positions.map((position) => ({
      position,
      query: queryRow(position),
      source: run.owns(position) ? -1 : run.row(position),
    })),
  );
  const sources: number[] = [];
  const groups = new Map<Uint32Array, { readonly keys: Uint32Array; readonly queries: Query[] }>();
  runs.forEach(({ run, keys, seen, start = 0 }, i) => {
    for (const { position, query, source } of wanted[i] ?? []) {
      if (source >= 0) {
        run.rows[position] = rows + sources.length;
        sources.push(source);
      }
      let group = groups.get(keys);
      if (!group) {
        group = { keys, queries: [] };
        groups.set(keys, group);
      }
      const { first, end } = seen(position);
      group.queries.push({
        run,
        position,
        query,
        out: run.rows[position] as number,
        first,
        keys: end,
        start,
      });
    }
  });
  // Windows that begin together share tiles.
  for (const { queries } of groups.values()) queries.sort((a, b) => a.first - b.first);
  const entries = new Map<Sequence, Int32Array>();
  let entry = 0;
  const list = [...groups.values()];
  const inOrder = list.flatMap(({ queries }) => queries);
  for (const { run, position } of inOrder) {
    const own = entries.get(run) ?? new Int32Array(run.length).fill(-1);
    own[position] = entry++;
    entries.set(run, own);
  }
  return {
    plan: planAttention(list, heads, scratchBytes, wholeRows),
    newRows: Uint32Array.from(sources),
    queries: inOrder,
    entryOf: (run, position) => {
      for (let at: Sequence | undefined = run; at; at = at.base) {
        const own = entries.get(at)?.[position];
        if (own !== undefined && own >= 0) return own;
      }
      return -1;
    },
  };
}
