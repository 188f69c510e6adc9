// The two options of a pair's question: "Is the girl *sitting* or *standing* on the grass?"

import { findOptions } from '../../inputs/index.ts';
import type { PairDraft } from './pair.ts';
import type { Drop } from './report.ts';

/** Why a pair, or a part of it, cannot be used. */
export type Problem = Omit<Drop, 'source'>;

type Question = Pick<PairDraft, 'cleanPrompt' | 'correct' | 'incorrect'>;

/** Whether the correct option is named first. Nothing if the question does not offer the two. */
export function correctFirst(pair: Question): boolean | undefined {
  const found = findOptions(pair.cleanPrompt, pair);
  return found && found.correct.start < found.incorrect.start;
}

/** What is said of a question that does not offer its options. */
export function noOptions({ cleanPrompt, correct, incorrect }: Question): Problem {
  return {
    reason: 'option-not-in-prompt',
    detail: `"${correct}" and "${incorrect}" do not stand left and right of an "or" in "${cleanPrompt}"`,
  };
}
