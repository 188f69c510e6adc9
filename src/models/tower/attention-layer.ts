// Self- and cross-attention of one block, up to z: which rows have to be computed, and with which keys.

import { columnsOf, type Tensor } from '../../gpu/index.ts';
import { matmul, normalizeHeads } from '../../kernels/index.ts';
import type { AttentionRun } from './attend.ts';
import type { BlockWeights, TowerConfig } from './config.ts';
import { maskOf, reached, type Seen, seenOtherwise } from './mask.ts';
import {
  appendToCache,
  memoryOf,
  memoryRow,
  type Part,
  Projected,
  passMemory,
  passOwn,
  rotateRows,
} from './projections.ts';
import { attend, patternForks } from './scores.ts';
import type { Sequence } from './sequence.ts';
import type { Frame, Walk } from './walk.ts';

/**
 * Self-attention from its input to z.
 *
 * @param input [rows, width], normalised where the tower normalises before
 * @param stream gets a row for every position whose z has to be computed
 * @returns z [rows of the stream, heads · d_head]
 */
export async function selfAttention(
  walk: Walk,
  config: TowerConfig,
  weights: BlockWeights['attention'],
  layer: number,
  input: Tensor,
  stream: Frame<'x'>,
): Promise<Tensor> {
  const { w, runs, cache, mask = maskOf(config) } = walk;
  const { heads, keyHeads, headSize } = config;
  const prefix = `${config.name}.blocks.${layer}.attn`;
  const { weight, bias } = weights.queryKeyValue;
  const projected = new Projected(matmul(w, input, weight, { bias }));
  const query: Part = { hook: 'hook_q', of: 'queries', first: 0, heads, headSize };
  const key: Part = { hook: 'hook_k', of: 'keys', first: heads * headSize, heads: keyHeads, headSize };
  const value: Part = { ...key, hook: 'hook_v', first: key.first + keyHeads * headSize };
  for (const part of [query, key, value]) await passOwn(walk, prefix, projected, part);
  for (const [part, norm, hook] of [
    [query, weights.queryNorm, 'hook_normalized_q'],
    [key, weights.keyNorm, 'hook_normalized_k'],
  ] as const) {
    if (!norm) continue;
    normalizeHeads(w, columnsOf(projected.tensor, part.first, part.heads * headSize), part.heads, norm);
    await passOwn(walk, prefix, projected, { ...part, hook });
  }
  if (config.rotary) {
    // Keys lie behind queries: one kernel turns both.
    rotateRows(walk, layer, projected, { first: query.first, heads: heads + keyHeads, headSize });
    await passOwn(walk, prefix, projected, { ...query, hook: 'hook_rot_q' });
    await passOwn(walk, prefix, projected, { ...key, hook: 'hook_rot_k' });
  }
  const { queries, keys } = projected;
  const cached = cache && appendToCache(w, cache, layer, projected, runs, key.first);
  const rowOf = (run: Sequence, p: number) => (cached ? cached(run, p) : keys.row(run, p));
  const changedOf = memoise((run: Sequence) => [...run.ownPositions, ...keys.positions(run)]);
  // Rows of the keys of each tile; without tiles, of all positions. What equals the base's is the base's.
  const keysOf = memoise((run: Sequence): readonly Uint32Array[] => {
    const { base, length, tile = length } = run;
    const known = base && keysOf(base);
    const changed = base && new Set(changedOf(run).map((p) => Math.floor(p / tile)));
    return Array.from({ length: length / tile }, (_, t) =>
      known && !changed?.has(t)
        ? (known[t] as Uint32Array)
        : Uint32Array.from({ length: tile }, (_, i) => rowOf(run, t * tile + i)),
    );
  });
  const departing = patternForks(walk, prefix);
  const widened = patternForks(walk, prefix, { narrowing: false });
  const frozen = walk.probe.frozen?.(config.name);
  const attending = runs.flatMap((run): AttentionRun[] => {
    const { base, length, tile = length } = run;
    const wanted = [...run.ownPositions, ...queries.positions(run), ...(departing.get(run) ?? [])];
    const seen = mask(run, layer);
    if (base && !frozen?.has(run)) {
      const changed = changedOf(run);
      for (const p of reached(seen, length, changed)) wanted.push(p);
      for (const p of seenOtherwise(seen, mask(base, layer), length)) wanted.push(p);
      // Where a base's pattern is edited, it may attend to keys that its query does not see.
      if (changed.length > 0)
        for (let at: Sequence | undefined = base; at; at = at.base) wanted.push(...(widened.get(at) ?? []));
    }
    const positions = ascending(wanted);
    const queryRow = (p: number) => queries.row(run, p);
    const [all] = keysOf(run);
    if (tile === length) return [{ run, keys: all as Uint32Array, queryRow, positions, seen }];
    return keysOf(run).map((keys, t) => {
      const [start, end] = [t * tile, (t + 1) * tile];
      const own = positions.filter((p) => p >= start && p < end);
      return { run, keys, queryRow, positions: own, seen: withinTile(seen, start), start };
    });
  });
  const source = cache
    ? (cache.layers[layer] as Tensor)
    : columnsOf(projected.tensor, key.first, 2 * keyHeads * headSize);
  const z = await attend(walk, config, prefix, attending, stream, {
    q: columnsOf(projected.tensor, 0, heads * headSize),
    k: columnsOf(source, 0, keyHeads * headSize),
    v: columnsOf(source, keyHeads * headSize, keyHeads * headSize),
  });
  projected.release(w);
  return z;
}

/** Cross-attention to the walk's memory, from its input to z, as {@link selfAttention}. */
export async function crossAttention(
  walk: Walk,
  config: TowerConfig,
  weights: NonNullable<BlockWeights['cross']>,
  layer: number,
  input: Tensor,
  stream: Frame<'x'>,
): Promise<Tensor> {
  const { w, runs, memory } = walk;
  if (!memory) throw new Error(`${config.name} attends to another tower, but the walk has no memory`);
  const { heads, keyHeads, headSize } = config;
  const prefix = `${config.name}.blocks.${layer}.cross_attn`;
  const { query, keyValue } = weights;
  const projected = new Projected(matmul(w, input, query.weight, { bias: query.bias }));
  await passOwn(walk, prefix, projected, { hook: 'hook_q', of: 'queries', first: 0, heads, headSize });
  const made =
    memory.keyValues?.get(layer) ?? matmul(w, memory.tensor, keyValue.weight, { bias: keyValue.bias });
  memory.keyValues?.set(layer, made);
  const memorised = new Projected(made, memory.keyValues !== undefined);
  const key: Part = { hook: 'hook_k', of: 'keys', first: 0, heads: keyHeads, headSize };
  await passMemory(walk, prefix, memorised, key);
  await passMemory(walk, prefix, memorised, { ...key, hook: 'hook_v', first: keyHeads * headSize });
  const { queries } = projected;
  const { keys } = memorised;
  const tableOf = memoise((source: Sequence): Uint32Array => {
    if (source.base && !source.differs) return tableOf(source.base);
    return Uint32Array.from({ length: source.length }, (_, p) => source.row(p));
  });
  const keysOf = memoise((run: Sequence): Uint32Array => {
    const source = memoryOf(run);
    if (keys.has(run) || (run.memory && changesAnyKey(run.base)))
      return Uint32Array.from({ length: source.length }, (_, p) => memoryRow(run, keys, p));
    return run.base && !run.memory ? keysOf(run.base) : tableOf(source);
  });
  const changesAnyKey = (run: Sequence | undefined): boolean =>
    run !== undefined && (keys.has(run) || changesAnyKey(run.base));
  const departing = patternForks(walk, prefix);
  const frozen = walk.probe.frozen?.(config.name);
  const attending = runs.map((run): AttentionRun => {
    const table = keysOf(run);
    const wanted = [...run.ownPositions, ...queries.positions(run), ...(departing.get(run) ?? [])];
    if (run.base && !frozen?.has(run) && table !== keysOf(run.base))
      for (let p = 0; p < run.queries; p++) wanted.push(p);
    return {
      run,
      keys: table,
      queryRow: (p) => queries.row(run, p),
      positions: ascending(wanted),
      seen: () => ({ first: 0, end: table.length }),
    };
  });
  const z = await attend(walk, config, prefix, attending, stream, {
    q: projected.tensor,
    k: columnsOf(memorised.tensor, 0, keyHeads * headSize),
    v: columnsOf(memorised.tensor, keyHeads * headSize, keyHeads * headSize),
  });
  memorised.release(w);
  projected.release(w);
  return z;
}

/** What positions see, counted from the first key of their tile. */
function withinTile(seen: Seen, start: number): Seen {
  return (position) => {
    const { first, end } = seen(position);
    return { first: first - start, end: end - start };
  };
}

function ascending(positions: readonly number[]): number[] {
  return [...new Set(positions)].sort((a, b) => a - b);
}

function memoise<K extends object, V>(compute: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>();
  return (key) => {
    const found = known.get(key);
    if (found !== undefined) return found;
    const value = compute(key);
    known.set(key, value);
    return value;
  };
}
