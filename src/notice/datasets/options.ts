// Where a question's two options stand in its text: "Is the girl *sitting* or *standing* on the grass?"

/** Start and end (exclusive) in UTF-16 units of the prompt. */
export type Span = readonly [number, number];

export interface OptionSpans {
  readonly correct: Span;
  readonly incorrect: Span;
}

/** Every place where `word` (one or more words) stands as a whole in `text`, whatever its case: "man" is not in "woman". */
export function findWord(text: string, word: string): Span[] {
  const escaped = word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const whole = new RegExp(`(?<![\\p{L}\\p{N}])${escaped}(?![\\p{L}\\p{N}])`, 'giu');
  return [...text.matchAll(whole)].map((match) => [match.index, match.index + match[0].length]);
}

/**
 * The two options around "or". Where one of them stands elsewhere in the prompt as well ("is the ring inside the ring or
 * star?"), the pair closest to each other is meant. Nothing if they do not stand left and right of an "or".
 */
export function findOptions(prompt: string, correct: string, incorrect: string): OptionSpans | undefined {
  let best: OptionSpans | undefined;
  let bestGap = Number.POSITIVE_INFINITY;
  for (const a of findWord(prompt, correct)) {
    for (const b of findWord(prompt, incorrect)) {
      const [first, second] = a[0] < b[0] ? [a, b] : [b, a];
      const between = second[0] > first[1] ? prompt.slice(first[1], second[0]) : '';
      if (/\bor\b/i.test(between) && between.length < bestGap) {
        best = { correct: a, incorrect: b };
        bestGap = between.length;
      }
    }
  }
  return best;
}

/** Whether the correct option is named first. Nothing if `findOptions` finds none. */
export function correctFirst(pair: {
  readonly cleanPrompt: string;
  readonly correct: string;
  readonly incorrect: string;
}): boolean | undefined {
  const spans = findOptions(pair.cleanPrompt, pair.correct, pair.incorrect);
  return spans && spans.correct[0] < spans.incorrect[0];
}
