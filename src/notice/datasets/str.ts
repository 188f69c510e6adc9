// Symmetric token replacement (paper): the corrupted question has both options replaced by wrong ones of the
// same token length, so that every other token keeps its position.

import {
  type CharRange,
  findOptions,
  findWord,
  type LocatedText,
  optionTokens,
  type TokenSpan,
} from '../../inputs/index.ts';
import { seeded } from '../../random.ts';
import { noOptions, type Problem } from './options.ts';
import type { Pair, PairDraft } from './pair.ts';
import type { BuildReport, Drop } from './report.ts';

/** The tokens that a model makes of a question, and where in the text each comes from. */
export type Encode = (question: string) => LocatedText;

export interface ReplacementOptions {
  /** Words that may stand in for an option of this pair. */
  readonly pool: (option: string, pair: PairDraft) => readonly string[];
  /** Words that mean nearly the same. A stand-in is never similar to either option. */
  readonly similar?: (option: string, candidate: string) => boolean;
  readonly encode: Encode;
  /** With the pair's id it fixes the draw, whatever the other pairs are. */
  readonly seed: number | string;
}

/** The reason where a manifest was made without text corruption. */
export const NO_TEXT_CORRUPTION = 'no-text-corruption';

/**
 * Why a pair's corrupt prompt is no symmetric token replacement of its clean one: `no-text-corruption`, `option-not-in-prompt`, `token-length`,
 * `tokens-moved` (an option's stand-in has another number of tokens, or a token outside the options is another), `option-kept`.
 *
 * @returns nothing if each option is replaced by as many tokens and every other token stands where it stood
 */
export function textProblem(
  pair: Pick<Pair, 'cleanPrompt' | 'corruptPrompt' | 'correct' | 'incorrect'>,
  encode: Encode,
): Problem | undefined {
  const { cleanPrompt, corruptPrompt, correct, incorrect } = pair;
  if (corruptPrompt === cleanPrompt)
    return { reason: NO_TEXT_CORRUPTION, detail: `the corrupt prompt is the clean one, "${cleanPrompt}"` };
  const clean = encode(cleanPrompt);
  if (!findOptions(clean.text, pair)) return noOptions(pair);
  const corrupt = encode(corruptPrompt);
  const spans = optionTokens(clean, pair);
  const moved = movedToken(clean, corrupt, [spans.correct, spans.incorrect]);
  if (moved) return moved;
  const kept = ([spans.correct, spans.incorrect] as const).findIndex(({ start, end }) =>
    clean.tokens.slice(start, end).every((token, i) => corrupt.tokens[start + i] === token),
  );
  if (kept < 0) return undefined;
  const detail = `"${[correct, incorrect][kept]}" stands in "${corruptPrompt}" where it stands in "${cleanPrompt}"`;
  return { reason: 'option-kept', detail };
}

/** What is amiss if tokens outside the options' spans differ. */
function movedToken(
  clean: LocatedText,
  corrupt: LocatedText,
  options: readonly TokenSpan[],
): Problem | undefined {
  if (clean.tokens.length !== corrupt.tokens.length) {
    const detail = `"${clean.text}" has ${clean.tokens.length} tokens and "${corrupt.text}" ${corrupt.tokens.length}`;
    return { reason: 'token-length', detail };
  }
  const place = clean.tokens.findIndex(
    (token, i) => token !== corrupt.tokens[i] && !options.some(({ start, end }) => start <= i && i < end),
  );
  if (place < 0) return undefined;
  const detail = `token ${place} of "${clean.text}", outside the options, is "${clean.tokens[place]}", in "${corrupt.text}" it is "${corrupt.tokens[place]}"`;
  return { reason: 'tokens-moved', detail };
}

/**
 * The clean prompt with both options replaced. A stand-in is drawn from the pool; it is neither option nor similar to
 * one, stands nowhere else in the prompt, differs from the other stand-in, has as many tokens as its option and leaves every
 * other token as it is.
 * @returns the prompt and the stand-ins of the correct and the incorrect option, or why there is none
 */
export function replaceOptions(
  pair: PairDraft,
  options: ReplacementOptions,
): { prompt: string; standIns: [string, string] } | Problem {
  const { cleanPrompt, correct, incorrect } = pair;
  const found = findOptions(cleanPrompt, pair);
  if (!found) return noOptions(pair);
  const random = seeded(`${options.seed}/str/${pair.id}`);
  const clean = options.encode(cleanPrompt);
  const spans = optionTokens(clean, pair);
  const similar = options.similar ?? (() => false);

  const standIn = (prompt: string, range: CharRange, option: string): string | undefined =>
    random
      .shuffle(options.pool(option, pair))
      .find(
        (candidate) =>
          findWord(cleanPrompt, candidate).length === 0 &&
          findWord(prompt, candidate).length === 0 &&
          findWord(candidate, correct).length === 0 &&
          findWord(candidate, incorrect).length === 0 &&
          !similar(correct, candidate) &&
          !similar(incorrect, candidate) &&
          !movedToken(clean, options.encode(splice(prompt, range, candidate)), [
            spans.correct,
            spans.incorrect,
          ]),
      );
  const none = (option: string): Problem => ({
    reason: 'no-replacement',
    detail: `no word of the pool can stand in for "${option}" in "${cleanPrompt}" with the same number of tokens`,
  });

  const forCorrect = standIn(cleanPrompt, found.correct, correct);
  if (forCorrect === undefined) return none(correct);
  const half = splice(cleanPrompt, found.correct, forCorrect);
  const shift = found.correct.start < found.incorrect.start ? half.length - cleanPrompt.length : 0;
  const { start, end } = found.incorrect;
  const range = { start: start + shift, end: end + shift };
  const forIncorrect = standIn(half, range, incorrect);
  if (forIncorrect === undefined) return none(incorrect);
  return { prompt: splice(half, range, forIncorrect), standIns: [forCorrect, forIncorrect] };
}

/**
 * Gives every pair its corrupted prompt, in place of the one it may have: manifests are made for one tokenizer.
 * Drops: "option-not-in-prompt", "no-replacement".
 */
export function corruptPrompts(
  drafts: readonly PairDraft[],
  options: ReplacementOptions,
): { pairs: Pair[]; report: BuildReport } {
  const pairs: Pair[] = [];
  const drops: Drop[] = [];
  for (const draft of drafts) {
    const replaced = replaceOptions(draft, options);
    if ('reason' in replaced) {
      drops.push({ source: draft.id, ...replaced });
    } else {
      const metadata = { ...draft.metadata, str_options: replaced.standIns };
      pairs.push({ ...draft, corruptPrompt: replaced.prompt, metadata });
    }
  }
  return { pairs, report: { read: drafts.length, kept: pairs.length, drops } };
}

/** The pool of a finished manifest: all options of the pair's category. */
export function categoryPool(pairs: readonly PairDraft[]): ReplacementOptions['pool'] {
  const options = new Map<string, Set<string>>();
  for (const { category, correct, incorrect } of pairs) {
    const known = options.get(category) ?? new Set();
    options.set(category, known.add(correct).add(incorrect));
  }
  const pools = new Map([...options].map(([category, words]) => [category, [...words].sort()]));
  return (_, { category }) => pools.get(category) ?? [];
}

function splice(text: string, { start, end }: CharRange, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}
