// Cuts among the interventions of a run: edges of attention that the tower leaves out before anybody looks at its scores.

import type { Cuts, Fork, ModelRun, Sequence } from '../models/index.ts';
import { ranges, sequenceIn } from '../models/index.ts';
import { checkIndices, positionsOf } from './columns.ts';
import type { Intervention } from './intervention.ts';
import { keysAt, lengthAt, towerOf } from './names.ts';

/** Which runs an intervention changes, and those derived from one. */
export interface Runs {
  targets(intervention: Intervention): readonly ModelRun[];
  derivedFrom(run: ModelRun): readonly ModelRun[];
  /** See {@link AnswerStart}. */
  readonly answerStart?: AnswerStart | undefined;
}

/**
 * Where the answer begins among a run's positions in a tower, if its first pass has some of it already (an answer that is
 * given): from there on positions are new tokens.
 */
export type AnswerStart = (tower: string, run: ModelRun) => number | undefined;

export class CutSet {
  readonly #runs: Runs;
  readonly #byHook = new Map<string, { readonly intervention: Intervention; readonly counter: number }[]>();
  /** Positions without those of the answer: what a run had when it came to an attention first, if nobody says otherwise. */
  readonly #lengths = new Map<string, Map<ModelRun, number>>();

  constructor(runs: Runs) {
    this.#runs = runs;
  }

  /** @param counter of the edges that are cut */
  add(intervention: Intervention, counter: number): void {
    const list = this.#byHook.get(intervention.hook) ?? [];
    list.push({ intervention, counter });
    this.#byHook.set(intervention.hook, list);
  }

  has(hook: string): boolean {
    return this.#byHook.has(hook);
  }

  /** Whether some of them also take the bias of the output away. */
  silent(hook: string): boolean {
    return this.#byHook.get(hook)?.some(({ intervention }) => intervention.silent) ?? false;
  }

  /** Queries that lose edges. */
  forks(hook: string): Fork[] {
    return (this.#byHook.get(hook) ?? []).flatMap(({ intervention }) =>
      this.#runs.targets(intervention).map((run) => ({
        run: sequenceIn(run, towerOf(hook)),
        positions: this.#queries(intervention, run),
        narrows: true,
      })),
    );
  }

  /**
   * @param fired counters
   * @param expect told of every edge that a counter is to count
   * @throws NoticeError('hook') for a query or key that does not exist
   */
  read(hook: string, fired: GPUBuffer, expect: (counter: number, edges: number) => void): Cuts {
    const tower = towerOf(hook);
    const list = (this.#byHook.get(hook) ?? []).flatMap(({ intervention, counter }) =>
      this.#runs.targets(intervention).map((target) => {
        const run = sequenceIn(target, tower);
        const { keys, heads, silent = false } = intervention;
        const count = keysAt(hook, run);
        if (keys) checkIndices(`${hook}: key`, keys, count);
        return {
          runs: [target, ...this.#runs.derivedFrom(target)].map((one) => sequenceIn(one, tower)),
          queries: this.#queries(intervention, target),
          keys: keys ? ranges(keys) : [{ first: 0, end: count }],
          ...{ heads, counter, silent },
          found: (edges: number) => expect(counter, edges),
        };
      }),
    );
    return { list, fired };
  }

  /** The positions of a run that an intervention names, and if it says so those that have come since. */
  #queries(intervention: Intervention, run: ModelRun): readonly number[] {
    const { hook, positions, newTokens } = intervention;
    const sequence: Sequence = sequenceIn(run, towerOf(hook));
    const queries = positionsOf(intervention, sequence);
    if (!positions || !newTokens) return queries;
    const length = lengthAt(hook, sequence);
    const lengths = this.#lengths.get(hook) ?? new Map<ModelRun, number>();
    this.#lengths.set(hook, lengths);
    const start = this.#runs.answerStart?.(towerOf(hook), run);
    const before = start ?? lengths.get(run) ?? length;
    lengths.set(run, before);
    const added = Array.from({ length: length - before }, (_, i) => before + i);
    return [...queries, ...added.filter((position) => !positions.includes(position))];
  }
}
