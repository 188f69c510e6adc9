// Samples balanced by answer order (paper): half of them name the correct option first, so that a preference
// for either place cannot pass for knowledge.

import { type Random, seeded } from '../../random.ts';
import { DataError } from './errors.ts';
import { correctFirst, noOptions } from './options.ts';
import type { Pair } from './pair.ts';
import type { BuildReport, Drop } from './report.ts';

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
  options: SelectOptions,
): { pairs: Pair[]; report: BuildReport } {
  const drops: Drop[] = [];
  const groups = new Map<string, { first: Pair[]; second: Pair[] }>();
  for (const pair of [...pairs].sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const first = correctFirst(pair);
    if (first === undefined) {
      drops.push({ source: pair.id, ...noOptions(pair) });
      continue;
    }
    const name = options.perCategory ? pair.category : '';
    const group = groups.get(name) ?? { first: [], second: [] };
    groups.set(name, group);
    (first ? group.first : group.second).push(pair);
  }
  const chosen = new Set<Pair>();
  for (const [category, group] of groups) {
    const random = seeded(`${options.seed}/select/${category}`);
    for (const pair of drawBalanced(group, category, options, random)) chosen.add(pair);
  }
  const selected = pairs.filter((pair) => chosen.has(pair));
  return { pairs: selected, report: { read: pairs.length, kept: selected.length, drops } };
}

function drawBalanced(
  { first, second }: { first: Pair[]; second: Pair[] },
  category: string,
  { n, short }: SelectOptions,
  random: Random,
): Pair[] {
  let wantFirst = Math.ceil(n / 2);
  let wantSecond = Math.floor(n / 2);
  if (wantFirst > first.length || wantSecond > second.length) {
    if (short !== 'fewer') {
      throw new DataError(
        `${n} samples balanced by answer order need ${wantFirst} pairs with the correct option first and ${wantSecond} with it second` +
          `${category && ` in category "${category}"`}; there are ${first.length} and ${second.length}. ` +
          `Ask for at most ${2 * Math.min(first.length, second.length)}, or take fewer where they are short.`,
      );
    }
    wantFirst = wantSecond = Math.min(first.length, second.length);
  }
  return [...random.sample(first, wantFirst), ...random.sample(second, wantSecond)];
}
