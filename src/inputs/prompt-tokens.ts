// Which tokens of a prompt belong to a word, and what part each token plays.
import { NoticeError } from '../errors.ts';
import { escapeRegExp } from './regexp.ts';
import type { EncodedText } from './tokenizer.ts';
import type { CharRange } from './units.ts';

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

/** A text and where in it each token stands. */
export type LocatedText = Omit<EncodedText, 'ids'>;

/** The options of a prompt and the "or" between them. */
export type OptionPart = 'correct' | 'or' | 'incorrect';

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
  const found = findWord(prompt.text, phrase);
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
 * Where a text offers its two options: "*A* or *B*". Where one of them stands elsewhere as well ("is a ring or star inside
 * the ring?"), the pair of occurrences that is closest together and has exactly one "or" between is meant.
 *
 * @returns nothing if the text does not offer the two
 */
export function findOptions(
  text: string,
  { correct, incorrect }: Options,
): Record<OptionPart, CharRange> | undefined {
  const ors = findWord(text, 'or');
  let best: Record<OptionPart, CharRange> | undefined;
  let shortest = Number.POSITIVE_INFINITY;
  for (const one of findWord(text, correct)) {
    for (const other of findWord(text, incorrect)) {
      const [left, right] = one.start < other.start ? [one, other] : [other, one];
      const [or, ...more] = ors.filter(({ start, end }) => start >= left.end && end <= right.start);
      const distance = right.start - left.end;
      if (!or || more.length > 0 || distance >= shortest) continue;
      shortest = distance;
      best = { correct: one, or, incorrect: other };
    }
  }
  return best;
}

/**
 * The tokens of the options where the prompt offers them, see {@link findOptions}.
 *
 * @throws NoticeError('text') if the prompt does not offer the two options
 */
export function optionTokens(prompt: LocatedText, options: Options): Record<OptionPart, TokenSpan> {
  const found = findOptions(prompt.text, options);
  if (!found) {
    throw new NoticeError(
      'text',
      `The prompt ${JSON.stringify(prompt.text)} does not offer ${JSON.stringify(options.correct)} or ${JSON.stringify(options.incorrect)}.`,
    );
  }
  return {
    correct: tokensOf(prompt, found.correct),
    or: tokensOf(prompt, found.or),
    incorrect: tokensOf(prompt, found.incorrect),
  };
}

/**
 * The part that each token plays.
 *
 * @param options `noun` is the thing asked about; its first occurrence outside the options counts. Undefined: the prompt offers none
 * @param imageTokens those that stand for an image, or for a feature of one
 * @throws NoticeError('text') if the options or the noun are not in the prompt
 */
export function promptRoles(
  prompt: EncodedText,
  options: (Options & { readonly noun?: string }) | undefined,
  imageTokens: readonly string[] = ['<image>'],
): TokenRole[] {
  const firstOfText = prompt.ranges.findIndex((range) => range !== undefined);
  const roles = prompt.ranges.map((range, index): TokenRole => {
    if (!range) return firstOfText >= 0 && index > firstOfText ? 'end' : 'start';
    return imageTokens.includes(prompt.tokens[index]!) ? 'image' : 'rest';
  });
  if (!options) return roles;
  const spans = optionTokens(prompt, options);
  for (const role of ['correct', 'or', 'incorrect'] as const) {
    roles.fill(role, spans[role].start, spans[role].end);
  }
  if (options.noun !== undefined) {
    const noun = findWord(prompt.text, options.noun)
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

/** Where a phrase stands as whole words, whatever its case; any white space matches between its words. */
export function findWord(text: string, phrase: string): CharRange[] {
  const words = phrase.trim().split(/\s+/).map(escapeRegExp);
  if (words[0] === '') return [];
  const pattern = new RegExp(`(?<![\\p{L}\\p{M}\\p{N}])${words.join('\\s+')}(?![\\p{L}\\p{M}\\p{N}])`, 'giu');
  return Array.from(text.matchAll(pattern), ({ index, 0: found }) => ({
    start: index,
    end: index + found.length,
  }));
}

/** The tokens that have a character in the range. */
function tokensOf({ ranges }: LocatedText, { start, end }: CharRange): TokenSpan {
  const inside = (range: CharRange | undefined) =>
    range !== undefined && Math.max(range.start, start) < Math.min(range.end, end);
  return { start: ranges.findIndex(inside), end: ranges.findLastIndex(inside) + 1 };
}
