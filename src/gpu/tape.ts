// Reverse-mode differentiation of what a work records. Every kernel function notes what it read and wrote together with its
// derivative; the backward walk goes through the notes from the last to the first. A tensor's gradient lies in a buffer of the
// same layout, so that a window of the tensor is the same window of its gradient, and what an operator does in place its
// derivative does in place, too. Only what comes after a tensor that is watched is noted and held.

import { NoticeError } from '../errors.ts';
import type { KernelSource } from './pipeline.ts';
import { isContiguous, type Tensor } from './tensor.ts';
import { bufferOf, type Work } from './work.ts';

export type Held = Tensor | GPUBuffer;

/** What a kernel function did, and its derivative. */
export interface Note<S extends readonly Held[]> {
  /** For messages. */
  readonly operator: string;
  /** Tensors that its results depend on. */
  readonly reads: readonly Tensor[];
  /** Its results; what it changed in place is among both. */
  readonly writes: readonly Tensor[];
  /** What the derivative needs of the forward pass, as it is now. */
  readonly saves?: S;
  /** Called if there is a gradient of any of the results. */
  readonly backward: (b: Backward, saved: S) => void | Promise<void>;
}

/** Where a share of a gradient goes. */
export interface Share {
  readonly tensor: Tensor;
  /** Whether it is added to what is there; else every element has to be written. */
  readonly accumulate: boolean;
}

/** What a derivative works with. */
export interface Backward {
  /** Notes nothing. */
  readonly w: Work;
  /** The gradient of a tensor by all that comes after the operator; undefined: zeros. */
  gradient(tensor: Tensor): Tensor | undefined;
  /** Where an operator's share in the gradient of what it read goes; undefined if nobody asks for it. */
  into(tensor: Tensor): Share | undefined;
  /** Makes the gradient of a result that of an operand with as many values, if nothing else needs either. */
  move(result: Tensor, operand: Tensor): boolean;
  /** What rows, one after the other, held before the operator wrote them had no effect through them. */
  overwritten(rows: Tensor): void;
}

/** What a buffer holds from one release of it to the next. */
interface Value {
  /** Whether it depends on anything that is watched. */
  live: boolean;
  /** Elements up to the last that is noted. */
  extent: number;
  /** Index of the first note of it. */
  first: number;
  gradient: GPUBuffer | undefined;
}

interface Saved {
  held: Held;
}

interface Entry {
  readonly operator: string;
  readonly values: ReadonlyMap<GPUBuffer, Value>;
  readonly results: readonly Value[];
  readonly always: boolean;
  readonly saved: readonly Saved[];
  readonly backward: (b: Backward, saved: readonly Held[]) => void | Promise<void>;
}

/** Kernels that have written something that depends on a watched tensor, and did not say how. */
interface Unnoted {
  readonly operator: string;
  readonly buffers: readonly GPUBuffer[];
}

export class Tape {
  readonly #w: Work;
  readonly #of: string;
  readonly #values = new Map<GPUBuffer, Value>();
  readonly #entries: Entry[] = [];
  readonly #saved = new Map<GPUBuffer, Set<Saved>>();
  /** How often the forward pass has released buffers that are held by what is saved. */
  readonly #released = new Map<GPUBuffer, number>();
  readonly #unnoted = new Map<GPUBuffer, Unnoted>();

  /**
   * @param w the work that is recorded into
   * @param of whose operators these are, for messages: the model's family
   */
  constructor(w: Work, of: string) {
    this.#w = w;
    this.#of = of;
  }

  /** Whether a tensor depends on anything that is watched. */
  isLive({ buffer }: Tensor): boolean {
    return this.#values.get(buffer)?.live ?? false;
  }

  /** Takes note of an operator that has been recorded. */
  note<const S extends readonly Held[]>({ operator, reads, writes, saves, backward }: Note<S>): void {
    for (const { buffer } of writes) this.#settle(buffer);
    if (![...reads, ...writes].some((tensor) => this.isLive(tensor))) return;
    this.#add(operator, reads, writes, saves ?? [], false, (b, saved) => backward(b, saved as unknown as S));
  }

  /**
   * Watches a tensor: from here on what depends on it is noted.
   *
   * @param see told its gradient by all that comes after this point; undefined if that is zero
   */
  watch(tensor: Tensor, see: (gradient: Tensor | undefined) => void | Promise<void>): void {
    this.#valueOf(tensor).live = true;
    this.#add('hook', [], [tensor], [], true, (b) => see(b.gradient(tensor)));
  }

  /** To be called before a tensor is changed in place: what is saved of it is what it was. */
  changing({ buffer }: Tensor): void {
    const saved = this.#saved.get(buffer);
    if (!saved) return;
    this.#saved.delete(buffer);
    const copy = this.#w.acquire(buffer.size, `${buffer.label} before a change`);
    this.#w.copy(buffer, 0, copy, 0, buffer.size);
    for (const one of saved) one.held = 'buffer' in one.held ? { ...one.held, buffer: copy } : copy;
    this.#saved.set(copy, saved);
    this.#released.set(copy, 1);
  }

  /**
   * For an operator without a derivative.
   *
   * @throws NoticeError('gradient') if a tensor that it works on depends on anything that is watched
   */
  refuse(operator: string, ...tensors: readonly Tensor[]): void {
    if (tensors.some((tensor) => this.isLive(tensor))) throw this.#without(operator);
  }

  /** A kernel is about to be recorded. */
  dispatched(
    { name, bindings }: KernelSource,
    buffers: Readonly<Record<string, GPUBuffer | undefined>>,
  ): void {
    const bound = Object.keys(bindings).map((binding) => buffers[binding] as GPUBuffer);
    for (const buffer of bound) {
      const open = this.#unnoted.get(buffer);
      if (open && open.operator !== name) throw this.#without(open.operator);
    }
    if (!bound.some((buffer) => this.#values.get(buffer)?.live)) return;
    const written = bound.filter((_, i) => Object.values(bindings)[i] === 'read_write');
    for (const buffer of written) this.#unnoted.set(buffer, { operator: name, buffers: written });
  }

  /** A copy is about to be recorded. */
  copied(from: GPUBuffer, to: GPUBuffer): void {
    if (this.#values.get(from)?.live) this.#unnoted.set(to, { operator: 'copy', buffers: [to] });
  }

  /** The forward pass is done with a buffer. */
  release(buffer: GPUBuffer): void {
    this.#values.delete(buffer);
    this.#unnoted.delete(buffer);
    if (this.#saved.has(buffer)) this.#released.set(buffer, (this.#released.get(buffer) ?? 0) + 1);
    else this.#w.release(buffer);
  }

  /**
   * Walks back from a result. What was saved and all gradients but those that were handed on are given back.
   *
   * @param gradient of the result, contiguous; used up
   * @throws NoticeError('gradient') for an operator without a derivative
   */
  async backward(result: Tensor, gradient: Tensor): Promise<void> {
    const open = this.#unnoted.get(result.buffer);
    if (open) throw this.#without(open.operator);
    const value = this.#values.get(result.buffer);
    if (value?.live) value.gradient = gradient.buffer;
    else this.#w.release(gradient);
    for (let i = this.#entries.length - 1; i >= 0; i--) {
      const entry = this.#entries[i] as Entry;
      if (entry.always || entry.results.some((one) => one.gradient))
        await entry.backward(
          this.#at(entry, i),
          entry.saved.map(({ held }) => held),
        );
      for (const saved of entry.saved) this.#drop(saved);
      for (const one of entry.values.values()) {
        if (one.first !== i || !one.gradient) continue;
        this.#w.release(one.gradient);
        one.gradient = undefined;
      }
    }
    this.#entries.length = 0;
  }

  #at({ values }: Entry, index: number): Backward {
    const w = this.#w;
    const of = ({ buffer }: Tensor) => values.get(buffer) as Value;
    const covers = (tensor: Tensor) =>
      isContiguous(tensor) && tensor.rows * tensor.columns >= of(tensor).extent;
    const begun = (tensor: Tensor) => of(tensor).first === index;
    return {
      w,
      gradient: (tensor) => {
        const { gradient } = of(tensor);
        return gradient && { ...tensor, buffer: gradient };
      },
      into: (tensor) => {
        const value = of(tensor);
        if (!value.live) return undefined;
        const accumulate = value.gradient !== undefined || !covers(tensor);
        if (!value.gradient) {
          value.gradient = w.acquire(4 * value.extent, 'gradient');
          if (accumulate) w.clear(value.gradient, 0, 4 * value.extent);
        }
        return { tensor: { ...tensor, buffer: value.gradient }, accumulate };
      },
      move: (result, operand) => {
        const [from, to] = [of(result), of(operand)];
        if (!begun(result) || !covers(result) || !covers(operand) || from.extent !== to.extent) return false;
        if (to.gradient || !to.live || !from.gradient) return false;
        to.gradient = from.gradient;
        from.gradient = undefined;
        return true;
      },
      overwritten: (rows) => {
        const { gradient } = of(rows);
        if (begun(rows) || !gradient) return;
        w.clear(gradient, 4 * rows.offset, 4 * rows.rows * rows.columns);
      },
    };
  }

  #add(
    operator: string,
    reads: readonly Tensor[],
    writes: readonly Tensor[],
    saves: readonly Held[],
    always: boolean,
    backward: Entry['backward'],
  ): void {
    const values = new Map<GPUBuffer, Value>();
    for (const tensor of [...reads, ...writes]) values.set(tensor.buffer, this.#valueOf(tensor));
    const results = writes.map(({ buffer }) => values.get(buffer) as Value);
    const live = always || reads.some((tensor) => this.isLive(tensor));
    for (const value of results) value.live ||= live;
    const saved = saves.map((held): Saved => {
      const one = { held };
      const buffer = bufferOf(held);
      this.#saved.set(buffer, (this.#saved.get(buffer) ?? new Set()).add(one));
      return one;
    });
    const index = this.#entries.push({ operator, values, results, always, saved, backward }) - 1;
    for (const value of values.values()) if (value.first < 0) value.first = index;
  }

  #valueOf({ buffer, rows, columns, stride, offset }: Tensor): Value {
    const value = this.#values.get(buffer) ?? { live: false, extent: 0, first: -1, gradient: undefined };
    this.#values.set(buffer, value);
    value.extent = Math.max(value.extent, offset + (rows - 1) * stride + columns);
    return value;
  }

  #drop(one: Saved): void {
    const buffer = bufferOf(one.held);
    const others = this.#saved.get(buffer);
    others?.delete(one);
    if (others && others.size > 0) return;
    this.#saved.delete(buffer);
    for (let times = this.#released.get(buffer) ?? 0; times > 0; times--) this.#w.release(buffer);
    this.#released.delete(buffer);
  }

  #settle(buffer: GPUBuffer): void {
    for (const one of this.#unnoted.get(buffer)?.buffers ?? []) this.#unnoted.delete(one);
  }

  #without(operator: string): NoticeError {
    return new NoticeError('gradient', `${this.#of}: the operator ${operator} has no derivative`);
  }
}
