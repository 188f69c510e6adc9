// A sequence is what a run of the model is in one tower: positions on their way up. It holds rows only where it differs from
// its base: a patched run that has not met its patch yet has none, and reads everything from the run it was derived from. So
// a plain forward pass, one patched run and a sweep of thousands are the same walk; they differ in which rows exist.

export class Sequence {
  /** Number of positions. */
  readonly length: number;
  /** The one this equals wherever it has no row of its own. */
  readonly base: Sequence | undefined;
  /** The sequence of another tower that cross-attention reads. */
  readonly memory: Sequence | undefined;
  /** How many positions, the first ones, cross-attention is for: in a tower that has queries only these, else all. */
  readonly queries: number;
  /**
   * Positions of a tile, where the tower sees tiles of pictures: they lie one behind the other, and a position attends to
   * those of its own tile. Undefined where there are none.
   */
  readonly tile: number | undefined;
  /** Row of each position in the tower's current activations; −1 where the base's row is read. */
  readonly rows: Int32Array;

  constructor(
    length: number,
    {
      base,
      memory,
      queries = length,
      tile = base?.tile,
    }: {
      base?: Sequence | undefined;
      memory?: Sequence | undefined;
      queries?: number;
      tile?: number | undefined;
    } = {},
  ) {
    this.length = length;
    this.base = base;
    this.memory = memory;
    this.queries = queries;
    this.tile = tile;
    this.rows = new Int32Array(length).fill(-1);
  }

  /** Whether the position has a row of its own. */
  owns(position: number): boolean {
    return (this.rows[position] as number) >= 0;
  }

  /** Row that holds the position's value: its own, or the nearest base's. −1 if nobody computes it. */
  row(position: number): number {
    for (let run: Sequence | undefined = this; run; run = run.base) {
      const row = run.rows[position] as number;
      if (row >= 0) return row;
    }
    return -1;
  }

  /** Positions that have a row of their own, in order. */
  get ownPositions(): number[] {
    const positions: number[] = [];
    for (let p = 0; p < this.length; p++) if (this.owns(p)) positions.push(p);
    return positions;
  }

  /** Whether it has any row of its own. */
  get differs(): boolean {
    return this.rows.some((row) => row >= 0);
  }
}

/** Rows of their own, for tensors in which some runs have more rows than in the residual stream. */
export class Overrides {
  readonly #rows = new Map<Sequence, Map<number, number>>();

  get(run: Sequence, position: number): number | undefined {
    return this.#rows.get(run)?.get(position);
  }

  set(run: Sequence, position: number, row: number): void {
    const rows = this.#rows.get(run) ?? new Map<number, number>();
    rows.set(position, row);
    this.#rows.set(run, rows);
  }

  has(run: Sequence): boolean {
    return this.#rows.has(run);
  }

  /** Positions of a run with a row of their own here. */
  positions(run: Sequence): Iterable<number> {
    return this.#rows.get(run)?.keys() ?? [];
  }

  /** Row of a position: an override of the run or of a base, unless a nearer run has a row in the stream. */
  row(run: Sequence, position: number): number {
    for (let at: Sequence | undefined = run; at; at = at.base) {
      const row = this.get(at, position) ?? (at.rows[position] as number);
      if (row >= 0) return row;
    }
    return -1;
  }
}
