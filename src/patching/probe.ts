// The probe that users' wishes make: edits first, then custom hooks, then what is to be cached.

import { within } from '../abort.ts';
import { checkFloats } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { customHook, DEFAULT_LOOP_LIMIT } from '../kernels/index.ts';
import {
  type Activation,
  type Fork,
  type Frozen,
  type ModelRun,
  type PixelPart,
  type Probe,
  type Sequence,
  sequenceIn,
} from '../models/index.ts';
import { type CachedActivation, cacheActivation } from './cache.ts';
import { checkIndices } from './columns.ts';
import type { EditSet } from './edits.ts';
import type { CustomHook } from './intervention.ts';
import { isOfMemory, lengthAt, towerOf } from './names.ts';

/** Thrown inside a walk to end it early; caught by whoever started it. */
export class StopWalk extends Error {}

/** Somebody who looks at activations as interventions and hooks have left them. */
export interface Watch {
  readonly names: ReadonlySet<string>;
  see(w: Work, activation: Activation, runs: readonly ModelRun[]): void;
  /** Told of what a vision tower reads. */
  pixels?(tensor: Tensor, parts: readonly PixelPart[]): void;
}

export interface PatchProbeOptions {
  readonly edits?: EditSet | undefined;
  readonly custom?: readonly CustomHook[];
  /** Milliseconds that a callback may take. */
  readonly callbackTimeout?: number | undefined;
  /** Turns that the loops of a hook's WGSL may take for one value. */
  readonly loopLimit?: number | undefined;
  /** Hook points to cache. */
  readonly cacheNames?: ReadonlySet<string>;
  readonly watch?: Watch | undefined;
  /** Of scores and patterns the rows of these positions only. */
  readonly queries?: readonly number[] | undefined;
  /** Runs that custom hooks see and that are cached. */
  readonly runs: readonly ModelRun[];
  /** See `Probe.frozen`. */
  readonly frozen?: ReadonlyMap<ModelRun, Frozen> | undefined;
  /** The walk ends after this hook point. */
  readonly stopAfter?: string | undefined;
}

export class PatchProbe implements Probe {
  /** What has been cached so far. */
  readonly cached: CachedActivation[] = [];
  readonly #w: Work;
  readonly #options: PatchProbeOptions;
  #overruns: GPUBuffer | undefined;

  constructor(w: Work, options: PatchProbeOptions) {
    this.#w = w;
    this.#options = options;
  }

  wants(name: string): boolean {
    const { edits, custom = [], cacheNames, watch, stopAfter } = this.#options;
    return (
      edits?.wants(name) ||
      cacheNames?.has(name) ||
      watch?.names.has(name) ||
      stopAfter === name ||
      custom.some((hook) => hook.hook === name)
    );
  }

  queries(name: string): readonly number[] | undefined {
    const { edits, custom = [], queries, runs } = this.#options;
    for (const run of queries ? runs : [])
      checkIndices(`${name}: query`, queries ?? [], sequenceIn(run, towerOf(name)).length);
    const seesAll = edits?.wants(name) || custom.some(({ hook }) => hook === name);
    return seesAll ? undefined : queries;
  }

  forks(name: string): readonly Fork[] {
    const { edits, custom = [], runs } = this.#options;
    const forks = edits?.forks(name) ?? [];
    // Keys and values of another tower's output are used again at every step of an answer, so a copy is to be edited.
    if (!isOfMemory(name) || !custom.some(({ hook }) => hook === name)) return forks;
    const all = runs.map((modelRun): Fork => {
      const run = sequenceIn(modelRun, towerOf(name));
      return { run, positions: Array.from({ length: lengthAt(name, run) }, (_, position) => position) };
    });
    return [...forks, ...all];
  }

  cuts(name: string): ReturnType<NonNullable<Probe['cuts']>> {
    return this.#options.edits?.cuts(name);
  }

  pixels(tensor: Tensor, parts: readonly PixelPart[]): void {
    this.#options.watch?.pixels?.(tensor, parts);
  }

  frozen(tower: string): ReadonlyMap<Sequence, Frozen> {
    const found = new Map<Sequence, Frozen>();
    for (const [run, what] of this.#options.frozen ?? []) {
      const own = sequenceIn(run, tower);
      // Where it is what its base is, it has nothing of its own to freeze.
      if (run.base && own !== sequenceIn(run.base, tower)) found.set(own, what);
    }
    return found;
  }

  async visit(activation: Activation): Promise<void> {
    const { edits, custom = [], cacheNames, watch, runs, stopAfter, queries } = this.#options;
    edits?.apply(activation);
    for (const hook of custom) if (hook.hook === activation.name) await this.#run(hook, activation);
    if (cacheNames?.has(activation.name)) {
      const rows = activation.columns === 'keys' ? queries : undefined;
      this.cached.push(cacheActivation(this.#w, activation, runs, () => rows));
    }
    if (watch?.names.has(activation.name)) watch.see(this.#w, activation, runs);
    if (stopAfter === activation.name) throw new StopWalk();
  }

  /**
   * Checks that the interventions fired and the loops of the hooks' WGSL ended.
   *
   * @throws NoticeError('unfired'), NoticeError('hook')
   */
  async verify(): Promise<void> {
    const { edits, custom = [], loopLimit = DEFAULT_LOOP_LIMIT } = this.#options;
    if (this.#overruns) {
      const columns = custom.length;
      const [words] = await this.#w.read({
        buffer: this.#overruns,
        rows: 1,
        columns,
        stride: columns,
        offset: 0,
      });
      const hook = custom[(words as Float32Array).findIndex((word) => word !== 0)];
      if (hook)
        throw new NoticeError(
          'hook',
          `the WGSL of a hook at ${hook.hook} took more than ${loopLimit} turns of its loops for one value (loopLimit)`,
        );
    }
    await edits?.verify();
  }

  async #run(hook: CustomHook, activation: Activation): Promise<void> {
    const tower = towerOf(activation.name);
    // In the step of an answer only the new positions have rows.
    const byRun = this.#options.runs.map((modelRun, batch) => {
      const run = sequenceIn(modelRun, tower);
      return Array.from({ length: lengthAt(hook.hook, run) }, (_, position) => ({
        row: activation.rowOf(run, position),
        batch,
        position,
      })).filter(({ row }) => row >= 0);
    });
    const rows = byRun.flat();
    if ('wgsl' in hook) {
      const { custom = [], loopLimit: turns = DEFAULT_LOOP_LIMIT } = this.#options;
      this.#overruns ??= this.#w.uploadWords(new Uint32Array(custom.length), 'overruns of hooks');
      const limit = { turns, overruns: this.#overruns, hook: custom.indexOf(hook) };
      customHook(this.#w, activation.tensor, activation.size, rows, hook.wgsl, limit);
      return;
    }
    const cached = cacheActivation(this.#w, activation, this.#options.runs);
    const [values] = await this.#w.read(cached.tensor);
    this.#w.release(cached.tensor);
    const before = cached.arrange(values as Float32Array);
    const firstPositions = byRun.map(([first]) => first?.position ?? 0);
    const info = { name: activation.name, shape: cached.shape, firstPositions };
    const after =
      (await this.#w.callOut(() => this.#inTime(activation.name, hook.callback(before, info)))) ?? before;
    checkFloats(after, `${activation.name}: what the callback returned`);
    if (after.length !== before.length)
      throw new NoticeError(
        'hook',
        `${activation.name}: the callback returned ${after.length} values, the activation [${cached.shape.join(', ')}] has ${before.length}`,
      );
    for (const { row, batch, position } of rows) {
      const index = position - (firstPositions[batch] as number);
      this.#write(activation, row, cached.valuesOf(after, batch, index));
    }
  }

  /** Waits for a callback as long as it may take. */
  #inTime<T>(name: string, answer: T | Promise<T>): T | Promise<T> {
    const limit = this.#options.callbackTimeout ?? Number.POSITIVE_INFINITY;
    if (limit === Number.POSITIVE_INFINITY) return answer;
    const message = `${name}: the callback took longer than ${limit} ms (callbackTimeout)`;
    return within(Promise.resolve(answer), limit, () => new NoticeError('hook', message));
  }

  /** Writes one row through a staging buffer, so that it happens in the order of the recorded work. */
  #write({ tensor }: Activation, row: number, values: Float32Array<ArrayBuffer>): void {
    const staging = this.#w.uploadWords(values, 'values of a callback');
    const offset = 4 * (tensor.offset + row * tensor.stride);
    this.#w.copy(staging, 0, tensor.buffer, offset, values.byteLength);
    this.#w.release(staging);
  }
}
