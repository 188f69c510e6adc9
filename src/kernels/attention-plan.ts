// Who attends to what, as tables for the attention kernels. Query rows that share a list of key rows form tiles; keys
// are row numbers, so any number of runs can share them without a copy. Pure, so it is tested without a GPU.

import { checkShape } from '../errors.ts';

/** One query row. */
export interface AttentionQuery {
  /** Row of the query tensor. */
  readonly query: number;
  /** Row of the output tensor. */
  readonly out: number;
  /** It sees its group's keys `first` (default 0) to `keys` (exclusive), at least one. */
  readonly first?: number;
  readonly keys: number;
}

/** Queries that share a list of keys. */
export interface AttentionGroup {
  /** Rows of the key and value tensors, in order of position. */
  readonly keys: Uint32Array;
  readonly queries: readonly AttentionQuery[];
}

/** Tiles whose scores fit the scratch memory together. */
export interface AttentionChunk {
  readonly firstTile: number;
  readonly tiles: number;
  readonly firstEntry: number;
  readonly entries: number;
  /** Keys that count for its entries, all together. */
  readonly keysSeen: number;
}

export interface AttentionPlan {
  /** Per entry (query row, output row, keys seen, keys that count), counted from the first column of its tile. */
  readonly entries: Uint32Array;
  /** Per entry the first column that it sees; absent where all see their tile's first. */
  readonly firsts: Uint32Array | undefined;
  /** Per tile (first entry, entries, first key, keys). */
  readonly tiles: Uint32Array;
  readonly keys: Uint32Array;
  /** Scores of one entry and head, a multiple of 4. */
  readonly pitch: number;
  readonly tileRows: number;
  readonly chunks: readonly AttentionChunk[];
}

const TILE_ROWS = [1, 4, 6, 8];
/** Reading the keys of a tile costs about as much as two rows of arithmetic. */
const TILE_OVERHEAD = 2;
const MAX_TILES = 65535;
/**
 * Columns of a query begin at a multiple of this. So queries with windows that begin nearly together share tiles, and
 * where its columns begin depends on the query alone.
 */
const WINDOW_STEP = 64;

/**
 * Lays groups out in tiles, and tiles in chunks.
 *
 * @param heads query heads: each has its own scores
 * @param scratchBytes scores of a chunk take at most this much (a single tile may take more)
 * @param groups queries whose keys begin together follow each other where tiles are to be full
 * @param wholeRows all keys of a group count for each of its queries, for who edits scores or pattern: keys that a query
 *   does not see have the score −infinity and change nothing unless that is edited
 * @throws ShapeError if a query sees no key, or more keys than its group has
 */
export function planAttention(
  groups: readonly AttentionGroup[],
  heads: number,
  scratchBytes: number,
  wholeRows = false,
): AttentionPlan {
  const baseOf = ({ first = 0 }: AttentionQuery) => (wholeRows ? 0 : first - (first % WINDOW_STEP));
  const parts = groups.map(({ queries }) => alike(queries, baseOf));
  const tileRows = chooseTileRows(parts.flat().map((queries) => queries.length));
  const entryCount = groups.reduce((sum, { queries }) => sum + queries.length, 0);
  const entries = new Uint32Array(4 * entryCount);
  const firsts = new Uint32Array(entryCount);
  const keys = new Uint32Array(groups.reduce((sum, group) => sum + group.keys.length, 0));
  const tiles: number[] = [];
  let longest = 0;
  let keyAt = 0;
  let entryAt = 0;
  groups.forEach((group, g) => {
    for (const query of group.queries) checkQuery(query, group.keys.length);
    keys.set(group.keys, keyAt);
    for (const queries of parts[g] ?? []) {
      const base = baseOf(queries[0] as AttentionQuery);
      const countOf = ({ keys: end }: AttentionQuery) => (wholeRows ? group.keys.length : end) - base;
      for (let first = 0; first < queries.length; first += tileRows) {
        const members = queries.slice(first, first + tileRows);
        const count = Math.max(...members.map(countOf));
        longest = Math.max(longest, count);
        tiles.push(entryAt, members.length, keyAt + base, count);
        for (const member of members) {
          firsts[entryAt] = (member.first ?? 0) - base;
          entries.set([member.query, member.out, member.keys - base, countOf(member)], 4 * entryAt++);
        }
      }
    }
    keyAt += group.keys.length;
  });
  const pitch = 4 * Math.ceil(longest / 4);
  const chunks: AttentionChunk[] = [];
  const entryBytes = 4 * heads * pitch;
  for (let tile = 0, first = 0; tile < tiles.length / 4; tile++) {
    const last = chunks.at(-1);
    const count = tiles[4 * tile + 1] as number;
    let keysSeen = 0;
    for (let e = first; e < first + count; e++) keysSeen += entries[4 * e + 3] as number;
    const fits =
      last && (last.entries + count) * entryBytes <= scratchBytes && last.entries + count <= MAX_TILES;
    const chunk = fits ? last : { firstTile: tile, tiles: 0, firstEntry: first, entries: 0, keysSeen: 0 };
    if (fits) chunks.pop();
    chunks.push({
      ...chunk,
      tiles: chunk.tiles + 1,
      entries: chunk.entries + count,
      keysSeen: chunk.keysSeen + keysSeen,
    });
    first += count;
  }
  const lower = firsts.some((first) => first > 0);
  return {
    entries,
    firsts: lower ? firsts : undefined,
    tiles: Uint32Array.from(tiles),
    keys,
    pitch,
    tileRows,
    chunks,
  };
}

/** Queries next to each other whose columns begin at the same key. */
function alike(
  queries: readonly AttentionQuery[],
  baseOf: (query: AttentionQuery) => number,
): AttentionQuery[][] {
  const parts: AttentionQuery[][] = [];
  for (const query of queries) {
    const last = parts.at(-1);
    if (last && baseOf(last[0] as AttentionQuery) === baseOf(query)) last.push(query);
    else parts.push([query]);
  }
  return parts;
}

function checkQuery({ query, first = 0, keys }: AttentionQuery, count: number): void {
  checkShape(
    first >= 0 && first < keys && keys <= count,
    () => `query row ${query} sees ${first > 0 ? `${first} to ` : ''}${keys} of its group's ${count} keys`,
  );
}

/** The tile height that wastes least on groups of these sizes. */
export function chooseTileRows(groupSizes: readonly number[]): number {
  const cost = (rows: number) =>
    groupSizes.reduce((sum, size) => sum + Math.ceil(size / rows) * (rows + TILE_OVERHEAD), 0);
  return TILE_ROWS.reduce((best, rows) => (cost(rows) <= cost(best) ? rows : best));
}
