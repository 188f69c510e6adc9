// Who attends to what, as tables for the attention kernels. Query rows that share a list of key rows form tiles; keys
// are row numbers, so any number of runs can share them without a copy. Pure, so it is tested without a GPU.

import { checkShape } from '../errors.ts';

/** One query row. */
export interface AttentionQuery {
  /** Row of the query tensor. */
  readonly query: number;
  /** Row of the output tensor. */
  readonly out: number;
  /** It sees the first `keys` of its group's keys, at least one. */
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
  /** Per entry (query row, output row, keys seen, keys that count). */
  readonly entries: Uint32Array;
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
 * Lays groups out in tiles, and tiles in chunks.
 *
 * @param heads query heads: each has its own scores
 * @param scratchBytes scores of a chunk take at most this much (a single tile may take more)
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
  const tileRows = chooseTileRows(groups.map(({ queries }) => queries.length));
  const entryCount = groups.reduce((sum, { queries }) => sum + queries.length, 0);
  const entries = new Uint32Array(4 * entryCount);
  const keys = new Uint32Array(groups.reduce((sum, group) => sum + group.keys.length, 0));
  const tiles: number[] = [];
  let longest = 0;
  let keyAt = 0;
  let entryAt = 0;
  for (const group of groups) {
    const beyond = group.queries.find(({ keys: seen }) => !(seen >= 1 && seen <= group.keys.length));
    checkShape(
      beyond === undefined,
      () => `query row ${beyond?.query} sees ${beyond?.keys} of its group's ${group.keys.length} keys`,
    );
    keys.set(group.keys, keyAt);
    const countOf = ({ keys: seen }: AttentionQuery) => (wholeRows ? group.keys.length : seen);
    for (let first = 0; first < group.queries.length; first += tileRows) {
      const members = group.queries.slice(first, first + tileRows);
      const count = Math.max(...members.map(countOf));
      longest = Math.max(longest, count);
      tiles.push(entryAt, members.length, keyAt, count);
      for (const member of members)
        entries.set([member.query, member.out, member.keys, countOf(member)], 4 * entryAt++);
    }
    keyAt += group.keys.length;
  }
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
  return { entries, tiles: Uint32Array.from(tiles), keys, pitch, tileRows, chunks };
}

/** The tile height that wastes least on groups of these sizes. */
export function chooseTileRows(groupSizes: readonly number[]): number {
  const cost = (rows: number) =>
    groupSizes.reduce((sum, size) => sum + Math.ceil(size / rows) * (rows + TILE_OVERHEAD), 0);
  return TILE_ROWS.reduce((best, rows) => (cost(rows) <= cost(best) ? rows : best));
}
