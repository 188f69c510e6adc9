// Queries, keys and values. Their hook points differ from all others: a run can depart from its base here, and so get
// rows in these tensors, without getting any in the residual stream.

import { columnsOf, type Tensor, type Work } from '../../gpu/index.ts';
import { gatherRows, rotate } from '../../kernels/index.ts';
import type { Activation } from './probe.ts';
import { appendRows } from './rows.ts';
import { Overrides, type Sequence } from './sequence.ts';
import type { KeyValueCache, Walk } from './walk.ts';

/** A tensor of projections with the rows that runs have in it alone. */
export class Projected {
  tensor: Tensor;
  /** Read by others too, so that a change needs a copy. */
  readonly #shared: Tensor | undefined;
  /** Rows of changed queries. */
  readonly queries = new Overrides();
  /** Rows of changed keys or values. */
  readonly keys = new Overrides();

  constructor(tensor: Tensor, shared = false) {
    this.tensor = tensor;
    this.#shared = shared ? tensor : undefined;
  }

  append(w: Work, sources: readonly number[]): void {
    if (sources.length > 0 && this.tensor === this.#shared) {
      const copy = w.empty(this.tensor.rows, this.tensor.columns, 'copy of keys and values');
      w.copy(this.tensor.buffer, 0, copy.buffer, 0, 4 * copy.rows * copy.columns);
      this.tensor = copy;
    }
    this.tensor = appendRows(w, this.tensor, Uint32Array.from(sources));
  }

  release(w: Work): void {
    if (this.tensor !== this.#shared) w.release(this.tensor);
  }
}

/** Columns `first` to `first + heads · headSize` of a tensor of projections. */
export interface Part {
  readonly hook: string;
  readonly of: 'queries' | 'keys';
  readonly first: number;
  readonly heads: number;
  readonly headSize: number;
}

/** Passes a hook point on queries, keys or values of the walk's own positions. */
export function passOwn(walk: Walk, prefix: string, projected: Projected, part: Part): Promise<void> {
  const overrides = projected[part.of];
  return pass(walk, prefix, projected, part, {
    positionsOf: 'self',
    has: (run, p) => run.owns(p) || overrides.get(run, p) !== undefined,
    rowOf: (run, p) => overrides.row(run, p),
  });
}

/** Passes a hook point on keys or values of the memory's positions: every run that changes one gets its own row. */
export function passMemory(walk: Walk, prefix: string, projected: Projected, part: Part): Promise<void> {
  const overrides = projected.keys;
  return pass(walk, prefix, projected, part, {
    positionsOf: 'memory',
    has: (run, p) => overrides.get(run, p) !== undefined,
    rowOf: (run, p) => memoryRow(run, overrides, p),
  });
}

/** Row of a key position: a run's override, or a base's, or the memory's. */
export function memoryRow(run: Sequence, overrides: Overrides, position: number): number {
  for (let at: Sequence | undefined = run; at; at = at.base) {
    const row = overrides.get(at, position);
    if (row !== undefined) return row;
  }
  return memoryOf(run).row(position);
}

/** The memory of a run: its own or the nearest base's. */
export function memoryOf(run: Sequence): Sequence {
  for (let at: Sequence | undefined = run; at; at = at.base) if (at.memory) return at.memory;
  throw new Error('a run without memory reached cross-attention');
}

interface Layout extends Pick<Activation, 'positionsOf' | 'rowOf'> {
  has(run: Sequence, position: number): boolean;
}

async function pass(
  { w, probe }: Walk,
  prefix: string,
  projected: Projected,
  { hook, of, first, heads, headSize }: Part,
  { positionsOf, has, rowOf }: Layout,
): Promise<void> {
  const name = `${prefix}.${hook}`;
  if (!probe.wants(name)) return;
  const sources: number[] = [];
  const { rows } = projected.tensor;
  for (const { run, positions } of probe.forks(name)) {
    for (const position of positions) {
      if (has(run, position)) continue;
      const source = rowOf(run, position);
      if (source < 0) continue; // An earlier position of an answer in the making.
      sources.push(source < rows ? source : (sources[source - rows] as number));
      projected[of].set(run, position, rows + sources.length - 1);
    }
  }
  projected.append(w, sources);
  const tensor = columnsOf(projected.tensor, first, heads * headSize);
  await probe.visit({
    name,
    tensor,
    heads,
    size: headSize,
    positionsOf,
    columns: 'features',
    rowOf,
    keysOf: () => 0,
  });
}

/** Rotates some heads, queries and keys, of all rows by the position ids of their positions. */
export function rotateRows(
  walk: Walk,
  layer: number,
  { tensor, queries, keys }: Projected,
  { first, heads, headSize }: Pick<Part, 'first' | 'heads' | 'headSize'>,
): void {
  const { w, runs, rotary } = walk;
  if (!rotary) throw new Error('rotary embedding without its table');
  const positions = new Uint32Array(tensor.rows);
  for (const run of runs) {
    for (const p of run.ownPositions) positions[run.rows[p] as number] = rotary.rowOf(run, p);
    for (const overrides of [queries, keys])
      for (const p of overrides.positions(run))
        positions[overrides.get(run, p) as number] = rotary.rowOf(run, p);
  }
  const buffer = w.shareWords(positions, 'positions');
  rotate(w, columnsOf(tensor, first, heads * headSize), heads, buffer, rotary.tableOf(layer));
  w.release(buffer);
}

/**
 * Adds this step's keys and values to a cache of earlier ones.
 *
 * @param firstColumn first column of the keys; the values follow
 * @returns the cache's row of a run's position
 */
export function appendToCache(
  w: Work,
  cache: KeyValueCache,
  layer: number,
  { tensor, keys }: Projected,
  runs: readonly Sequence[],
  firstColumn: number,
): (run: Sequence, position: number) => number {
  const history = cache.layers[layer] as Tensor;
  const made = columnsOf(tensor, firstColumn, history.columns);
  const slots = new Map(runs.map((run, i) => [run, i * cache.capacity]));
  const rowOf = (run: Sequence, position: number) => (slots.get(run) as number) + position;
  for (const run of runs) {
    const positions = run.ownPositions;
    const [first] = positions;
    if (first === undefined) continue;
    // A step's positions follow each other, and so do their rows in the cache.
    gatherRows(
      w,
      made,
      Uint32Array.from(positions, (p) => keys.row(run, p)),
      {
        ...history,
        rows: positions.length,
        offset: rowOf(run, first) * history.stride,
      },
    );
  }
  return rowOf;
}
