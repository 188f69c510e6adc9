// Who sees, on the way up, what a patch would change, and on the way back turns gradients into estimates.

import type { TapedWork, Tensor, Work } from '../gpu/index.ts';
import { rowDots } from '../kernels/index.ts';
import type { Activation, ModelRun } from '../models/index.ts';
import { type CachedActivation, cacheActivation, cacheRows, rowsOfRuns } from './cache.ts';
import type { Watch } from './probe.ts';

/** A run whose changes are estimated. */
export interface Target {
  readonly pair: number;
  readonly run: ModelRun;
  /** By hook point, those whose clean values are put there. */
  readonly sources: ReadonlyMap<string, readonly string[]>;
  /** What the run is without any change, by hook name; default what it is in this walk. */
  readonly unchanged?: ReadonlyMap<string, CachedActivation>;
}

/** Estimates at a hook point, by position and head (or feature). */
export interface Products {
  readonly pair: number;
  readonly hook: string;
  readonly source: string;
  /** [positions, heads], or by feature [positions, heads · size]; undefined: zeros. */
  readonly tensor: Tensor | undefined;
  readonly columns: number;
  readonly positions: number;
}

export class AttributionWatch implements Watch {
  readonly names: ReadonlySet<string>;
  readonly products: Products[] = [];
  readonly #taped: TapedWork;
  readonly #targets: readonly Target[];
  readonly #cleanRun: ModelRun | undefined;
  readonly #clean: Map<string, CachedActivation>;
  readonly #byFeature: boolean;

  /**
   * @param clean values by hook name; those of `cleanRun`, if it is in this walk, are added
   * @param cleanNames which of its values are needed
   */
  constructor(
    taped: TapedWork,
    targets: readonly Target[],
    clean: Map<string, CachedActivation>,
    {
      cleanRun,
      cleanNames = [],
      byFeature,
    }: {
      readonly cleanRun?: ModelRun | undefined;
      readonly cleanNames?: Iterable<string>;
      readonly byFeature: boolean;
    },
  ) {
    this.#taped = taped;
    this.#targets = targets;
    this.#clean = clean;
    this.#cleanRun = cleanRun;
    this.#byFeature = byFeature;
    this.names = new Set([...cleanNames, ...targets.flatMap(({ sources }) => [...sources.keys()])]);
  }

  see(_w: Work, activation: Activation): void {
    const { inner, tape } = this.#taped;
    const { name, tensor } = activation;
    const cleanRows = this.#cleanRun && rowsOfRuns(activation, [this.#cleanRun]).rows;
    if (this.#cleanRun) this.#clean.set(name, cacheActivation(inner, activation, [this.#cleanRun]));
    const columns = activation.heads * (this.#byFeature ? activation.size : 1);
    for (const target of this.#targets) {
      const sources = target.sources.get(name);
      if (!sources) continue;
      const own = rowsOfRuns(activation, [target.run]);
      const { pair } = target;
      const add = (source: string, found: Tensor | undefined) =>
        this.products.push({ pair, hook: name, source, tensor: found, columns, positions: own.rows.length });
      // A run that shares all its rows with the clean one is not changed by them.
      if (
        cleanRows &&
        own.rows.every((row, i) => row === cleanRows[i]) &&
        sources.every((one) => one === name)
      ) {
        add(name, undefined);
        continue;
      }
      const value = target.unchanged?.get(name) ?? cacheRows(inner, activation, own, tensor);
      tape.watch(tensor, (gradient) => {
        const slope = gradient && cacheRows(inner, activation, own, gradient).tensor;
        for (const source of sources) {
          const there = (this.#clean.get(source) as CachedActivation).tensor;
          add(source, slope && rowDots(inner, there, value.tensor, slope, columns));
        }
        if (slope) inner.release(slope);
        if (!target.unchanged) inner.release(value.tensor);
      });
    }
  }
}
