// Samples balanced by answer order (paper): half of them name the correct option first, so that a preference
// for either place cannot pass for knowledge.

import { fnv1a64, splitMix64 } from '../../random.ts';
import { DataError } from './errors.ts';
import { correctFirst, noOptions } from './options.ts';
import type { Pair } from './pair.ts';
import type { BuildReport, Drop } from './report.ts';

/**
 * Pairs in the order in which a seed draws them: by a hash of seed and id, so that no pair's place depends on what other
 * pairs there are.
 */
export function drawOrder<T extends { readonly id: string }>(
  pairs: readonly T[],
  seed: number | string,
): T[] {
  return pairs
    .map((pair) => ({ pair, place: splitMix64(fnv1a64(`${seed}/draw/${pair.id}`))() }))
    .sort((a, b) => (a.place < b.place || (a.place === b.place && a.pair.id < b.pair.id) ? -1 : 1))
    .map(({ pair }) => pair);
}

/** Takes what comes until it has enough. */
export interface Draw<T> {
  add(item: T, correctIsFirst: boolean): void;
  /** How many are still wanted. */
  readonly missing: number;
  /** In the order in which they came. */
  readonly chosen: T[];
}

/** The first `n`. */
export class FirstDraw<T> implements Draw<T> {
  readonly #drawn: T[] = [];
  readonly #n: number;

  constructor(n: number) {
    this.#n = n;
  }

  add(item: T): void {
    this.#drawn.push(item);
  }

  get missing(): number {
    return Math.max(0, this.#n - this.#drawn.length);
  }

  get chosen(): T[] {
    return this.#drawn.slice(0, this.#n);
  }
}

/** `n`, of each answer order half; of an odd number one more with the correct first. */
export class BalancedDraw<T> implements Draw<T> {
  readonly first: T[] = [];
  readonly second: T[] = [];
  readonly #drawn: T[] = [];
  readonly #wanted: readonly [first: number, second: number];

  constructor(n: number) {
    this.#wanted = [Math.ceil(n / 2), Math.floor(n / 2)];
  }

  add(item: T, correctIsFirst: boolean): void {
    (correctIsFirst ? this.first : this.second).push(item);
    this.#drawn.push(item);
  }

  get missing(): number {
    const [first, second] = this.#wanted;
    return Math.max(0, first - this.first.length) + Math.max(0, second - this.second.length);
  }

  /** Where one order is short, as many as stay balanced. */
  get chosen(): T[] {
    const [first, second] = this.#wanted;
    const most = this.missing > 0 ? Math.min(this.first.length, this.second.length) : first;
    const chosen = new Set([
      ...this.first.slice(0, Math.min(first, most)),
      ...this.second.slice(0, Math.min(second, most)),
    ]);
    return this.#drawn.filter((item) => chosen.has(item));
  }
}

export interface SelectOptions {
  /** Number of samples; of an odd number, one more has the correct option first. */
  readonly n: number;
  readonly seed: number | string;
  /** `n` samples of each category. */
  readonly perCategory?: boolean;
  /** When there are not enough: an error, or as many as stay balanced. Default "error". */
  readonly short?: 'error' | 'fewer';
}

/**
 * Draws without replacement. The draw depends on the seed and the pairs' ids, not on their order; the result keeps their
 * order. Pairs whose options are not both in the prompt cannot be drawn (drop "option-not-in-prompt").
 * @throws DataError too few pairs of one order
 */
export function selectBalanced(
  pairs: readonly Pair[],
  { n, seed, perCategory, short }: SelectOptions,
): { pairs: Pair[]; report: BuildReport } {
  const drops: Drop[] = [];
  const draws = new Map<string, BalancedDraw<Pair>>();
  for (const pair of drawOrder(pairs, seed)) {
    const first = correctFirst(pair);
    if (first === undefined) {
      drops.push({ source: pair.id, ...noOptions(pair) });
      continue;
    }
    const name = perCategory ? pair.category : '';
    const draw = draws.get(name) ?? new BalancedDraw<Pair>(n);
    draws.set(name, draw);
    draw.add(pair, first);
  }
  if (short !== 'fewer') for (const [category, draw] of draws) checkEnough(draw, category, n);
  const chosen = new Set([...draws.values()].flatMap((draw) => draw.chosen));
  const selected = pairs.filter((pair) => chosen.has(pair));
  return { pairs: selected, report: { read: pairs.length, kept: selected.length, drops } };
}

function checkEnough({ first, second, missing }: BalancedDraw<Pair>, category: string, n: number): void {
  if (missing === 0) return;
  throw new DataError(
    `${n} samples balanced by answer order need ${Math.ceil(n / 2)} pairs with the correct option first and ${Math.floor(n / 2)} with it second` +
      `${category && ` in category "${category}"`}; there are ${first.length} and ${second.length}. ` +
      `Ask for at most ${2 * Math.min(first.length, second.length)}, or take fewer where they are short.`,
  );
}
