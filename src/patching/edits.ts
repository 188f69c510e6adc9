// Interventions become edits in the recorded GPU work; counters on the GPU tell whether every one of them happened.

import { NoticeError, ShapeError } from '../errors.ts';
import type { Gpu, Tensor } from '../gpu/index.ts';
import { type Edit, type InterveneOp, intervene, meanRows } from '../kernels/index.ts';
import { type Activation, type Fork, type ModelRun, type Run, towerRun } from '../models/index.ts';
import type { Intervention } from './intervention.ts';
import { towerOf } from './names.ts';

export class EditSet {
  readonly #gpu: Gpu;
  /** The batch, for interventions that name a run by its row. */
  readonly #runs: readonly ModelRun[];
  readonly #byHook = new Map<string, { intervention: Intervention; counter: number }[]>();
  readonly #expected: number[];
  readonly #list: readonly Intervention[];
  #fired: GPUBuffer | undefined;

  constructor(gpu: Gpu, runs: readonly ModelRun[], interventions: readonly Intervention[]) {
    this.#gpu = gpu;
    this.#runs = runs;
    this.#list = interventions;
    this.#expected = interventions.map(() => 0);
    interventions.forEach((intervention, counter) => {
      const list = this.#byHook.get(intervention.hook) ?? [];
      list.push({ intervention, counter });
      this.#byHook.set(intervention.hook, list);
    });
  }

  wants(hook: string): boolean {
    return this.#byHook.has(hook);
  }

  /** Positions at which runs depart from their base at a hook point. */
  forks(hook: string): Fork[] {
    return (this.#byHook.get(hook) ?? []).flatMap(({ intervention }) =>
      this.#targets(intervention).map((run) => {
        const own = towerRun(run, towerOf(hook));
        return { run: own, positions: intervention.positions ?? allPositions(hook, own) };
      }),
    );
  }

  /** Makes all edits of a hook point. */
  apply(activation: Activation): void {
    const batches = new Map<string, { op: InterveneOp; edits: Edit[]; source?: Tensor; column: number }>();
    for (const { intervention, counter } of this.#byHook.get(activation.name) ?? []) {
      const source = this.#source(activation, intervention);
      const op = intervention.op === 'mean' ? 'replace' : intervention.op;
      const key = `${op} ${source.key}`;
      const batch = batches.get(key) ?? { op, edits: [], source: source.tensor, column: source.column };
      batches.set(key, batch);
      const tower = towerOf(activation.name);
      this.#targets(intervention).forEach((modelRun) => {
        const run = towerRun(modelRun, tower);
        const positions = this.#positions(activation, intervention, run);
        positions.forEach((position, i) => {
          for (const [firstColumn, columns] of spans(activation, intervention)) {
            this.#expected[counter] = (this.#expected[counter] as number) + columns;
            batch.edits.push({
              row: activation.rowOf(run, position),
              firstColumn,
              columns,
              source: source.row(run, position, i),
              alpha: intervention.alpha ?? 1,
              counter,
            });
          }
        });
      });
    }
    for (const { op, edits, source, column } of batches.values())
      intervene(this.#gpu, activation.tensor, op, edits, this.#counters(), source, column);
  }

  /**
   * Checks that every intervention wrote exactly as many elements as it addressed.
   *
   * @throws NoticeError('unfired')
   */
  async verify(): Promise<void> {
    if (this.#list.length === 0) return;
    const [words] = await this.#gpu.read({
      buffer: this.#counters(),
      rows: 1,
      columns: this.#list.length,
      stride: this.#list.length,
      offset: 0,
    });
    const fired = new Uint32Array((words as Float32Array<ArrayBuffer>).buffer);
    this.#list.forEach(({ hook, op, positions }, i) => {
      const expected = this.#expected[i] as number;
      if (expected > 0 && fired[i] === expected) return;
      const where = positions ? ` at position ${positions.join(', ')}` : '';
      throw new NoticeError(
        'unfired',
        expected === 0
          ? `the intervention "${op}" on ${hook}${where} never fired: the run did not come to this hook point`
          : `the intervention "${op}" on ${hook}${where} wrote ${fired[i]} elements instead of ${expected}`,
      );
    });
  }

  #counters(): GPUBuffer {
    if (!this.#fired)
      this.#fired = this.#gpu.uploadWords(new Uint32Array(Math.max(1, this.#list.length)), 'fired counters');
    return this.#fired;
  }

  #targets({ run, hook }: Intervention): readonly ModelRun[] {
    if (run === undefined) return this.#runs;
    return [this.#runOf(run, hook)];
  }

  #runOf(run: ModelRun | number, hook: string): ModelRun {
    if (typeof run !== 'number') return run;
    const found = this.#runs[run];
    if (!found)
      throw new NoticeError('hook', `${hook}: batch row ${run} of ${this.#runs.length} does not exist`);
    return found;
  }

  #positions(activation: Activation, { positions }: Intervention, run: Run): readonly number[] {
    const length = lengthAt(activation, run);
    const beyond = positions?.find((p) => !(p >= 0 && p < length));
    if (beyond !== undefined)
      throw new NoticeError('hook', `${activation.name}: position ${beyond} of ${length} does not exist`);
    const all = positions ?? Array.from({ length }, (_, p) => p);
    // In generation only the new position is there.
    return all.filter((p) => activation.rowOf(run, p) >= 0);
  }

  /** Where an intervention's source values lie: `row` for a target's position, its index `i` among the positions. */
  #source(
    activation: Activation,
    intervention: Intervention,
  ): {
    key: string;
    tensor?: Tensor;
    column: number;
    row: (run: Run, position: number, i: number) => number;
  } {
    const { hook, op, source, positions } = intervention;
    const tower = towerOf(activation.name);
    if (op === 'zero' || op === 'scale') return { key: '', column: 0, row: () => 0 };
    if (op === 'mean') {
      const rows = this.#runs.flatMap((modelRun) => {
        const run = towerRun(modelRun, tower);
        return Array.from({ length: lengthAt(activation, run) }, (_, p) => activation.rowOf(run, p)).filter(
          (row) => row >= 0,
        );
      });
      const tensor = meanRows(this.#gpu, activation.tensor, [[...new Set(rows)]]);
      return { key: 'mean', tensor, column: 0, row: () => 0 };
    }
    if (!source) throw new NoticeError('hook', `the intervention "${op}" on ${hook} needs a source`);
    if ('run' in source) {
      checkPositions(hook, positions, source.positions);
      const run = towerRun(this.#runOf(source.run, hook), tower);
      return {
        key: 'run',
        column: 0,
        row: (_, position, i) => {
          const row = activation.rowOf(run, source.positions?.[i] ?? position);
          if (row < 0) throw new NoticeError('hook', `${hook}: the source has no position ${position}`);
          return row;
        },
      };
    }
    if ('cached' in source) {
      const { cached, batch = 0 } = source;
      checkPositions(hook, positions, source.positions);
      if (cached.tensor.columns !== activation.tensor.columns)
        throw new ShapeError(
          `${hook} has rows of ${activation.tensor.columns} values, the source ${cached.name} has ${cached.tensor.columns}`,
        );
      return {
        key: `cached ${cached.name} ${cached.tensor.buffer.label}`,
        tensor: cached.tensor,
        column: 0,
        row: (_, position, i) => cached.row(batch, source.positions?.[i] ?? position),
      };
    }
    return this.#values(activation, intervention, source.values);
  }

  #values(activation: Activation, intervention: Intervention, values: Float32Array) {
    const columns = spans(activation, intervention);
    const width = columns.reduce((sum, [, count]) => sum + count, 0);
    const [first] = columns[0] as [number, number];
    const contiguous = columns.every(
      ([start, count], i) => i === 0 || start === (columns[i - 1] as [number, number])[0] + count,
    );
    if (!contiguous)
      throw new NoticeError('hook', `${intervention.hook}: values for several heads need neighbouring heads`);
    const rows = values.length / width;
    const count = intervention.positions?.length;
    if (!Number.isInteger(rows) || (rows !== 1 && rows !== (count ?? rows)))
      throw new ShapeError(
        `${intervention.hook}: ${values.length} values for ${count ?? 'all'} positions of ${width} elements; ` +
          `expected ${width} or ${(count ?? 1) * width}`,
      );
    return {
      key: `values ${this.#list.indexOf(intervention)}`,
      tensor: this.#gpu.upload(values, rows, width, 'patch values'),
      column: first,
      row: (_run: Run, _position: number, i: number) => (rows === 1 ? 0 : i),
    };
  }
}

function checkPositions(hook: string, target?: readonly number[], source?: readonly number[]): void {
  if (source && source.length !== target?.length)
    throw new ShapeError(
      `${hook}: ${source.length} source positions for ${target?.length ?? 'all'} target positions`,
    );
}

/** Positions of a run at an activation. */
function lengthAt(activation: Activation, run: Run): number {
  return activation.positionsOf === 'memory' ? (memoryLength(run) ?? run.length) : run.length;
}

function memoryLength(run: Run): number | undefined {
  for (let at: Run | undefined = run; at; at = at.base) if (at.memory) return at.memory.length;
  return undefined;
}

function allPositions(hook: string, run: Run): number[] {
  const memory = /cross_attn\.hook_[kv]$/.test(hook);
  return Array.from({ length: (memory ? memoryLength(run) : undefined) ?? run.length }, (_, p) => p);
}

/** Columns that an intervention addresses: [first, count] for every head, joined where they touch. */
function spans(activation: Activation, { hook, heads, features }: Intervention): [number, number][] {
  const { size } = activation;
  const beyondHead = heads?.find((head) => !(head >= 0 && head < activation.heads));
  if (beyondHead !== undefined)
    throw new NoticeError('hook', `${hook}: head ${beyondHead} does not exist; it has ${activation.heads}`);
  const [first, end] = features ?? [0, size];
  if (!(first >= 0 && first < end && end <= size))
    throw new NoticeError('hook', `${hook}: features ${first} to ${end} are not within its ${size}`);
  if (!features && !heads) return [[0, activation.heads * size]];
  const list = heads ?? Array.from({ length: activation.heads }, (_, h) => h);
  return list.map((head) => [head * size + first, end - first]);
}
