// How many answers are right, by the paper's definition of exact match and by that which leaves the first letter's case.

import { ALL_CATEGORIES } from '../../analysis/effects.ts';
import { type Interval, wilsonInterval } from '../../analysis/inference.ts';
import type { Evaluation } from './answers.ts';
import { type ExactMatch, isExactMatch } from './exact-match.ts';

/** A share of answers with its Wilson interval. */
export interface Share extends Interval {
  readonly correct: number;
  readonly accuracy: number;
}

/** Exact match in the paper's definition (Table 2), of one category of a task; `all` is the whole task. */
export interface Accuracy extends Share {
  readonly task: string;
  readonly category: string;
  readonly n: number;
  /** Exact but for the first letter's case. */
  readonly firstLetter: Share;
  /** Share of counterpart images that turned the answer into the other option. */
  readonly flipped: number;
}

/** Of the whole task, then of each category in alphabetical order. */
export function taskAccuracies(task: string, evaluations: readonly Evaluation[]): Accuracy[] {
  if (evaluations.length === 0) return [];
  const categories = [...new Set(evaluations.map(({ category }) => category))].sort();
  return [
    accuracyOf(task, ALL_CATEGORIES, evaluations),
    ...categories.map((category) =>
      accuracyOf(
        task,
        category,
        evaluations.filter((evaluation) => evaluation.category === category),
      ),
    ),
  ];
}

function accuracyOf(task: string, category: string, evaluations: readonly Evaluation[]): Accuracy {
  const n = evaluations.length;
  const flipped = evaluations.filter(({ corruptIncorrect }) => corruptIncorrect).length / n;
  const share = (definition: ExactMatch): Share => {
    const right = evaluations.filter(({ answer, correct }) =>
      isExactMatch(answer, correct, definition),
    ).length;
    return { correct: right, accuracy: right / n, ...wilsonInterval(right, n) };
  };
  return { task, category, n, flipped, ...share('exact'), firstLetter: share('first-letter') };
}
