// Keys as tiles, for what goes back from entries to them: the tables of attention-plan.ts the other way round. Pure.

import type { AttentionChunk, AttentionPlan } from '../attention-plan.ts';

/** Tiles in which no key row comes twice. */
export interface KeyTiles {
  /** Per tile (first entry, entries, first key, keys, column of its first key). */
  readonly words: Uint32Array<ArrayBuffer>;
  readonly count: number;
  /** Pairs of an entry and a key in it, all together. */
  readonly entryKeys: number;
}

/** Entries that share a list of keys from the same key on. */
interface Segment {
  readonly firstEntry: number;
  readonly firstKey: number;
  entries: number;
  keys: number;
}

/**
 * The keys of a chunk's entries in tiles of up to `size`. A key row that several lists name comes in as many dispatches, in the
 * order of the lists: so what is added to it is added in an order that does not depend on what else there is.
 */
export function keyTiles(plan: AttentionPlan, chunk: AttentionChunk, size: number): KeyTiles[] {
  const { entries, keys } = plan;
  const dispatches: { words: number[]; entryKeys: number }[] = [];
  const next = new Map<number, number>();
  for (const segment of segments(plan, chunk)) {
    const own = keys.subarray(segment.firstKey, segment.firstKey + segment.keys);
    let at = 0;
    for (const key of own) at = Math.max(at, next.get(key) ?? 0);
    for (const key of own) next.set(key, at + 1);
    dispatches[at] ??= { words: [], entryKeys: 0 };
    const dispatch = dispatches[at] as { words: number[]; entryKeys: number };
    const countOf = (entry: number) => entries[4 * entry + 3] as number;
    for (let column = 0; column < segment.keys; column += size) {
      let first = segment.firstEntry;
      let end = segment.firstEntry + segment.entries;
      while (first < end && countOf(first) <= column) first++;
      while (first < end && countOf(end - 1) <= column) end--;
      if (first === end) continue;
      const count = Math.min(size, segment.keys - column);
      dispatch.words.push(first, end - first, segment.firstKey + column, count, column);
      dispatch.entryKeys += (end - first) * count;
    }
  }
  return dispatches.map(({ words, entryKeys }) => ({
    words: Uint32Array.from(words),
    count: words.length / 5,
    entryKeys,
  }));
}

function segments({ tiles }: AttentionPlan, { firstTile, tiles: count }: AttentionChunk): Segment[] {
  const found: Segment[] = [];
  for (let t = firstTile; t < firstTile + count; t++) {
    const [firstEntry = 0, entries = 0, firstKey = 0, keys = 0] = tiles.subarray(4 * t, 4 * t + 4);
    const last = found.at(-1);
    if (last?.firstKey === firstKey) {
      last.entries += entries;
      last.keys = Math.max(last.keys, keys);
    } else found.push({ firstEntry, firstKey, entries, keys });
  }
  return found;
}
