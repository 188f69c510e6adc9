// Self- and cross-attention of one block, up to z.

import { columnsOf, OutOfMemoryError, type Tensor } from '../../gpu/index.ts';
import {
  type AttentionPlan,
  attentionScores,
  attentionSoftmax,
  attentionValues,
  matmul,
  normalizeHeads,
  releasePlan,
  uploadPlan,
} from '../../kernels/index.ts';
import { type Attendance, type AttentionRun, attendance } from './attend.ts';
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
import type { Sequence } from './sequence.ts';
import { appendToFrame, type Frame, type Walk } from './walk.ts';

const SCORES = 'hook_attn_scores';
const PATTERN = 'hook_pattern';

/** Scores of one chunk of attention take at most this many bytes. */
const SCRATCH_BYTES = 96 * 1024 * 1024;

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
    rotateRows(walk, layer, projected, [query, key]);
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
  const attending = runs.flatMap((run): AttentionRun[] => {
    const { base, length, tile = length } = run;
    const wanted = [...run.ownPositions, ...queries.positions(run), ...(departing.get(run) ?? [])];
    const seen = mask(run, layer);
    if (base) {
      const changed = changedOf(run);
      for (const p of reached(seen, length, changed)) wanted.push(p);
      for (const p of seenOtherwise(seen, mask(base, layer), length)) wanted.push(p);
      // Where a base's pattern is edited, it may attend to keys that its query does not see.
      if (changed.length > 0)
        for (let at: Sequence | undefined = base; at; at = at.base) wanted.push(...(departing.get(at) ?? []));
    }
    const positions = ascending(wanted);
    const queryRow = (p: number) => queries.row(run, p);
    const [all] = keysOf(run);
    if (tile === length) return [{ run, keys: all as Uint32Array, queryRow, positions, seen }];
    return keysOf(run).map((keys, t) => {
      const [start, end] = [t * tile, (t + 1) * tile];
      const own = positions.filter((p) => p >= start && p < end);
      return { run, keys, queryRow, positions: own, seen: withinTile(seen, start) };
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
  const attending = runs.map((run): AttentionRun => {
    const table = keysOf(run);
    const wanted = [...run.ownPositions, ...queries.positions(run), ...(departing.get(run) ?? [])];
    if (run.base && table !== keysOf(run.base)) for (let p = 0; p < run.queries; p++) wanted.push(p);
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

/** Scores, pattern and z for all positions that have to be computed. */
async function attend(
  walk: Walk,
  config: TowerConfig,
  prefix: string,
  runs: readonly AttentionRun[],
  stream: Frame<'x'>,
  { q, k, v }: { q: Tensor; k: Tensor; v: Tensor },
): Promise<Tensor> {
  const { w } = walk;
  const { heads, headSize } = config;
  const parts = lookedAt(walk, prefix, runs);
  let { rows } = stream.x;
  const layouts = parts.map(({ looked, runs: own }) => {
    // A probe sees the scores of all its queries at once, and what it writes at masked keys counts.
    const bytes = looked ? Number.POSITIVE_INFINITY : SCRATCH_BYTES;
    const layout = attendance(own, rows, heads, bytes, looked);
    rows += layout.newRows.length;
    return { ...layout, looked };
  });
  appendToFrame(w, stream, Uint32Array.from(layouts.flatMap(({ newRows }) => [...newRows])));
  const z = w.empty(stream.x.rows, heads * headSize, `${prefix} z`);
  for (const layout of layouts) {
    const { plan, looked } = layout;
    if (looked && plan.chunks.length > 1) throw tooManyToLookAt(prefix, heads, plan);
    const tables = uploadPlan(w, plan);
    for (const chunk of plan.chunks) {
      const visit = async (hook: string, tensor: Tensor) => {
        if (looked) await visitQueries(walk, `${prefix}.${hook}`, tensor, heads, layout, runs);
      };
      try {
        const scores = attentionScores(w, q, k, config, tables, chunk);
        await visit(SCORES, scores);
        attentionSoftmax(w, scores, heads, tables, chunk);
        await visit(PATTERN, scores);
        attentionValues(w, scores, v, z, config, tables, chunk);
        w.release(scores);
      } catch (error) {
        if (looked && error instanceof OutOfMemoryError) throw tooManyToLookAt(prefix, heads, plan, error);
        throw error;
      }
    }
    releasePlan(w, tables);
  }
  return z;
}

/** Runs with the positions whose scores or pattern somebody looks at, and with the others. */
function lookedAt(
  { probe }: Walk,
  prefix: string,
  runs: readonly AttentionRun[],
): { readonly looked: boolean; readonly runs: readonly AttentionRun[] }[] {
  const wanted = [SCORES, PATTERN].map((hook) => `${prefix}.${hook}`).filter((name) => probe.wants(name));
  if (wanted.length === 0) return [{ looked: false, runs }];
  const lists = wanted.map((name) => probe.queries?.(name));
  if (lists.includes(undefined)) return [{ looked: true, runs }];
  const queries = new Set(lists.flatMap((list) => list ?? []));
  return [true, false].map((looked) => ({
    looked,
    runs: runs.map((run) => ({
      ...run,
      positions: run.positions.filter((position) => queries.has(position) === looked),
    })),
  }));
}

function tooManyToLookAt(
  prefix: string,
  heads: number,
  { entries, pitch }: AttentionPlan,
  cause?: unknown,
): OutOfMemoryError {
  const rows = entries.length / 4;
  const bytes = 4 * rows * heads * pitch;
  return new OutOfMemoryError(
    bytes,
    `${prefix}: scores or pattern of ${rows} positions, ${heads} heads and ${pitch} keys take ${bytes} bytes, more than can ` +
      'be looked at together. Look at the rows of some positions (queries, --queries), run fewer sequences at a time, ' +
      'or raise the memory budget.',
    { cause },
  );
}

async function visitQueries(
  { probe }: Walk,
  name: string,
  tensor: Tensor,
  heads: number,
  { plan, entryOf }: Attendance,
  runs: readonly AttentionRun[],
): Promise<void> {
  if (!probe.wants(name)) return;
  const keys = new Map(runs.map((attending) => [attending.run, attending.keys.length]));
  await probe.visit({
    name,
    tensor,
    heads,
    size: plan.pitch,
    positionsOf: 'self',
    columns: 'keys',
    rowOf: entryOf,
    keysOf: (run) => keys.get(run) ?? 0,
  });
}

/** Positions at which runs depart from their base at the scores or the pattern. */
function patternForks({ probe }: Walk, prefix: string): Map<Sequence, number[]> {
  const forks = new Map<Sequence, number[]>();
  for (const hook of [SCORES, PATTERN]) {
    for (const { run, positions } of probe.forks(`${prefix}.${hook}`)) {
      const computed = positions.filter((position) => run.row(position) >= 0);
      forks.set(run, [...(forks.get(run) ?? []), ...computed]);
    }
  }
  return forks;
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
