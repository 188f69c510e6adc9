// Which keys a query sees: in every model a range of positions. It may depend on the layer (sliding windows in some of
// them) and on the run (the images of its prompt). What a changed key reaches is the inverse, and a sweep is exact
// because both come from here.

import type { TowerConfig } from './config.ts';
import type { Sequence } from './sequence.ts';

/** Positions `first` to `end` (exclusive). */
export interface KeyRange {
  readonly first: number;
  readonly end: number;
}

/** What the queries of a run see, by their position. */
export type Seen = (position: number) => KeyRange;

/** What the queries of a run see at a layer. Runs that see alike may get one and the same function. */
export type Mask = (run: Sequence, layer: number) => Seen;

/** What settings alone say: all keys (of its tile), or those up to the query's, in sliding layers the last `window` of them. */
export function maskOf({ causal, windows }: Pick<TowerConfig, 'causal' | 'windows'>): Mask {
  const backwards = (window = Number.POSITIVE_INFINITY): Seen => {
    return (position) => ({ first: Math.max(0, position + 1 - window), end: position + 1 });
  };
  const byLayer = new Map<number | undefined, Seen>();
  return (run, layer) => {
    if (!causal) return run.tile === undefined ? all(run.length) : tiles(run.tile);
    const window = windows?.[layer];
    const seen = byLayer.get(window) ?? backwards(window);
    byLayer.set(window, seen);
    return seen;
  };
}

/**
 * Besides what `mask` lets them see, positions of a block see each other: a prompt in front of its answer (PaliGemma), the
 * features of an image (Gemma 3).
 *
 * @param blocks of a run, in order, none reaching into another; the same array where runs have the same
 * @param beyondWindow whether a sliding window ends where a block does (PaliGemma), not inside it
 */
export function withBlocks(
  mask: Mask,
  blocks: (run: Sequence) => readonly KeyRange[],
  { beyondWindow }: { readonly beyondWindow: boolean },
): Mask {
  const widened = (seen: Seen, own: readonly KeyRange[], length: number): Seen => {
    const blockOf = blockAt(own, length);
    return (position) => {
      const range = seen(position);
      const block = blockOf(position);
      if (!block) return range;
      return {
        first: beyondWindow ? Math.min(range.first, block.first) : range.first,
        end: Math.max(range.end, block.end),
      };
    };
  };
  const known = new WeakMap<readonly KeyRange[], Map<Seen, Seen>>();
  return (run, layer) => {
    const [own, seen] = [blocks(run), mask(run, layer)];
    const made = known.get(own) ?? new Map<Seen, Seen>();
    known.set(own, made);
    const wider = made.get(seen) ?? widened(seen, own, run.length);
    made.set(seen, wider);
    return wider;
  };
}

/**
 * Positions see their own block and nothing else; all, where there are no blocks (Qwen's vision towers: windows in most
 * layers).
 *
 * @param blocks of a run at a layer, in order, that cover it
 */
export function blockMask(blocks: (run: Sequence, layer: number) => readonly KeyRange[] | undefined): Mask {
  return (run, layer) => {
    const own = blocks(run, layer);
    return own ? (blockAt(own, run.length) as Seen) : all(run.length);
  };
}

/** Positions that see at least one of some keys: what a change there reaches. */
export function reached(seen: Seen, length: number, keys: Iterable<number>): number[] {
  /** Keys before each position. */
  const before = new Uint32Array(length + 1);
  for (const key of keys) before[key + 1] = 1;
  for (let p = 0; p < length; p++) before[p + 1] = (before[p + 1] as number) + (before[p] as number);
  const positions: number[] = [];
  if (before[length] === 0) return positions;
  for (let p = 0; p < length; p++) {
    const { first, end } = seen(p);
    if (before[end] !== before[first]) positions.push(p);
  }
  return positions;
}

/** Positions that see other keys than in another run of the same length. */
export function seenOtherwise(seen: Seen, other: Seen, length: number): number[] {
  if (seen === other) return [];
  return Array.from({ length }, (_, p) => p).filter((p) => {
    const [mine, theirs] = [seen(p), other(p)];
    return mine.first !== theirs.first || mine.end !== theirs.end;
  });
}

const wholes = new Map<number, Seen>();

function all(length: number): Seen {
  const range = { first: 0, end: length };
  const seen = wholes.get(length) ?? (() => range);
  wholes.set(length, seen);
  return seen;
}

const tiled = new Map<number, Seen>();

function tiles(tile: number): Seen {
  const ranges: KeyRange[] = [];
  const rangeAt = (index: number) => {
    const range = ranges[index] ?? { first: index * tile, end: (index + 1) * tile };
    ranges[index] = range;
    return range;
  };
  const seen: Seen = tiled.get(tile) ?? ((position) => rangeAt(Math.floor(position / tile)));
  tiled.set(tile, seen);
  return seen;
}

const lookups = new WeakMap<readonly KeyRange[], (position: number) => KeyRange | undefined>();

/** Finds the block of a position. */
function blockAt(blocks: readonly KeyRange[], length: number): (position: number) => KeyRange | undefined {
  const known = lookups.get(blocks);
  if (known) return known;
  const at: (KeyRange | undefined)[] = new Array(length);
  for (const block of blocks) at.fill(block, block.first, block.end);
  const find = (position: number) => at[position];
  lookups.set(blocks, find);
  return find;
}
