// The corrupt question of a pair of one's own: other words in the options' place.

import { findOptions, type Options } from '../../inputs/prompt-tokens.ts';

/**
 * The question with other words in the place of its options (symmetric token replacement; whether the tokens line up is
 * seen when the model's tokenizer has read it).
 *
 * @returns undefined where a word is missing, or the question does not offer the options
 */
export function withOptions(
  question: string,
  options: Options,
  [forCorrect, forIncorrect]: readonly [string, string],
): string | undefined {
  const found = findOptions(question, options);
  if (!found || forCorrect.trim() === '' || forIncorrect.trim() === '') return undefined;
  const parts = [
    { ...found.correct, word: forCorrect.trim() },
    { ...found.incorrect, word: forIncorrect.trim() },
  ].sort((a, b) => b.start - a.start);
  return parts.reduce(
    (text, { start, end, word }) => text.slice(0, start) + word + text.slice(end),
    question,
  );
}
