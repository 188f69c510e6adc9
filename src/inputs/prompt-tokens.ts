// Which tokens of a prompt belong to a word, and what part each token plays.
import { NoticeError } from '../errors.ts';
import type { CharRange } from './offsets.ts';
import { escapeRegExp } from './regexp.ts';
import type { EncodedText } from './tokenizer.ts';

/** Tokens from `start` up to, not including, `end`, counted in the prompt as it was encoded. */
export interface TokenSpan {
  readonly start: number;
  readonly end: number;
}

/** Which occurrence of a phrase is meant; `only` refuses a prompt that has several. */
export type Occurrence = 'only' | 'first' | 'last';

/** The two answers a prompt offers. */
export interface Options {
  readonly correct: string;
  readonly incorrect: string;
}

/**
 * `start` and `end` are what the template adds ([CLS] or <s>, [SEP]). `rest` is every other word of the prompt.
 */
export type TokenRole = 'start' | 'image' | 'noun' | 'correct' | 'or' | 'incorrect' | 'rest' | 'end';

/**
 * All tokens of a word or phrase: every sub-token, but not a lone `▁` before it.
 * Whole words are matched, whatever their letter case.
 *
 * @throws NoticeError('text') if the phrase is not in the prompt, or is there several times and `occurrence` is `only`
 */
export function findPhrase(prompt: EncodedText, phrase: string, occurrence: Occurrence): TokenSpan {
  const found = occurrences(prompt.text, phrase);
  if (found.length === 0 || (occurrence === 'only' && found.length > 1)) {
    throw new NoticeError(
      'text',
      `${JSON.stringify(phrase)} stands ${found.length} times in the prompt ${JSON.stringify(prompt.text)}; ` +
        `expected ${occurrence === 'only' ? 'once' : 'at least once'}.`,
    );
  }
  return tokensOf(prompt, found.at(occurrence === 'last' ? -1 : 0)!);
}

/**
 * The tokens of "A or B": the options and the "or" between them. If an option stands in the prompt more than once,
 * the pair of occurrences that is closest together and has exactly one "or" between is taken.
 *
 * @throws NoticeError('text') if the prompt does not offer the two options
 */
export function findOptions(
  prompt: EncodedText,
  { correct, incorrect }: Options,
): Record<'correct' | 'or' | 'incorrect', TokenSpan> {
  const { text } = prompt;
  let best: { correct: CharRange; or: CharRange; incorrect: CharRange } | undefined;
  let shortest = Number.POSITIVE_INFINITY;
  for (const one of occurrences(text, correct)) {
    for (const other of occurrences(text, incorrect)) {
      const [left, right] = one.start < other.start ? [one, other] : [other, one];
      const distance = right.start - left.end;
      const ors = occurrences(text.slice(0, right.start), 'or').filter(({ start }) => start >= left.end);
      if (ors.length !== 1 || distance >= shortest) continue;
      shortest = distance;
      best = { correct: one, or: ors[0]!, incorrect: other };
    }
  }
  if (!best) {
    throw new NoticeError(
      'text',
      `The prompt ${JSON.stringify(text)} does not offer ${JSON.stringify(correct)} or ${JSON.stringify(incorrect)}.`,
    );
  }
  return {
    correct: tokensOf(prompt, best.correct),
    or: tokensOf(prompt, best.or),
    incorrect: tokensOf(prompt, best.incorrect),
  };
}

/**
 * The part that each token plays.
 *
 * @param options `noun` is the thing asked about; its first occurrence outside the options counts
 * @throws NoticeError('text') if the options or the noun are not in the prompt
 */
export function promptRoles(
  prompt: EncodedText,
  options: Options & { readonly noun?: string },
  imageToken = '<image>',
): TokenRole[] {
  const firstOfText = prompt.ranges.findIndex((range) => range !== undefined);
  const roles = prompt.ranges.map((range, index): TokenRole => {
    if (!range) return firstOfText >= 0 && index > firstOfText ? 'end' : 'start';
    return prompt.tokens[index] === imageToken ? 'image' : 'rest';
  });
  const spans = findOptions(prompt, options);
  for (const role of ['correct', 'or', 'incorrect'] as const) {
    roles.fill(role, spans[role].start, spans[role].end);
  }
  if (options.noun !== undefined) {
    const noun = occurrences(prompt.text, options.noun)
      .map((range) => tokensOf(prompt, range))
      .find(({ start, end }) => roles.slice(start, end).every((role) => role === 'rest'));
    if (!noun) {
      throw new NoticeError(
        'text',
        `The noun ${JSON.stringify(options.noun)} is not in the prompt ${JSON.stringify(prompt.text)} outside the options.`,
      );
    }
    roles.fill('noun', noun.start, noun.end);
  }
  return roles;
}

/** Where a phrase stands as whole words; any white space matches between its words. */
function occurrences(text: string, phrase: string): CharRange[] {
  const words = phrase.trim().split(/\s+/).map(escapeRegExp);
  if (words[0] === '') return [];
  const pattern = new RegExp(`(?<![\\p{L}\\p{M}\\p{N}])${words.join('\\s+')}(?![\\p{L}\\p{M}\\p{N}])`, 'giu');
  return Array.from(text.matchAll(pattern), ({ index, 0: found }) => ({
    start: index,
    end: index + found.length,
  }));
}

/** The tokens that have a character in the range. */
function tokensOf({ ranges }: EncodedText, { start, end }: CharRange): TokenSpan {
  const inside = (range: CharRange | undefined) =>
    range !== undefined && Math.max(range.start, start) < Math.min(range.end, end);
  return { start: ranges.findIndex(inside), end: ranges.findLastIndex(inside) + 1 };
}
