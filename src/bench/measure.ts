// Time, measured so that a machine whose speed drifts treats all contenders alike: in turns, one turn of each per round.

import { NoticeError } from '../errors.ts';

/**
 * A turn repeats what is shorter than this, in ms: its first run finds the caches full of what the contender before it
 * used, which is no property of either.
 */
const TURN_MS = 50;

export interface Contender {
  readonly name: string;
  /** Resolves when what it times has happened. */
  readonly run: () => Promise<unknown>;
}

/** Milliseconds of a run, by rounds. */
export interface Times {
  readonly wall: number[];
  /** Of all threads of the process; empty where nobody can tell, as in a browser. */
  readonly cpu: number[];
}

export interface MeasureOptions {
  readonly rounds: number;
  readonly warmups?: number;
  /** Milliseconds that all threads of the process have run. */
  readonly cpuTime?: (() => number) | undefined;
  /** Ends it between two runs; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Times contenders in alternation. */
export async function alternate(
  contenders: readonly Contender[],
  { rounds, warmups = 1, cpuTime, signal }: MeasureOptions,
): Promise<Map<string, Times>> {
  for (let i = 0; i < warmups; i++) for (const { run } of contenders) await run();
  const times = new Map<string, Times>(contenders.map(({ name }) => [name, { wall: [], cpu: [] }]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, run } of contenders) {
      let runs = 0;
      const cpuStart = cpuTime?.();
      const start = performance.now();
      do {
        signal?.throwIfAborted();
        await run();
        runs++;
      } while (performance.now() - start < TURN_MS);
      const { wall, cpu } = times.get(name) as Times;
      wall.push((performance.now() - start) / runs);
      if (cpuTime && cpuStart !== undefined) cpu.push((cpuTime() - cpuStart) / runs);
    }
  }
  return times;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/**
 * A wrong kernel is not timed: looks at elements all over the result.
 *
 * @param expected the value of element `i`, computed in f64
 * @throws NoticeError('control') that names the case and the element
 */
export function checkSample(
  name: string,
  values: Float32Array,
  expected: (i: number) => number,
  { tolerance, count = 200 }: { readonly tolerance: number; readonly count?: number },
): void {
  for (let s = 0; s < count; s++) {
    const i = Math.floor(((s * 0.6180339887) % 1) * values.length);
    const error = Math.abs((values[i] as number) - expected(i));
    if (!(error <= tolerance))
      throw new NoticeError(
        'control',
        `${name}: element ${i} is ${values[i]}, expected ${expected(i)}; not timed`,
      );
  }
}

/** Uniform in [−0.5, 0.5), the same in every run (a linear congruential generator's upper bits). */
export function randomValues(count: number, seed = 1): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  let state = seed >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state >>> 8) * 2 ** -24 - 0.5;
  }
  return values;
}
