// Symmetric token replacement (paper): the corrupted question has both options replaced by wrong ones of the
// same token length, so that every other token keeps its position.

import { seeded } from '../../random.ts';
import { findOptions, findWord, type Span } from './options.ts';
import type { Pair, PairDraft } from './pair.ts';
import type { BuildReport, Drop } from './report.ts';

export interface ReplacementOptions {
  /** Words that may stand in for an option of this pair. */
  readonly pool: (option: string, pair: PairDraft) => readonly string[];
  /** Words that mean nearly the same. A stand-in is never similar to either option. */
  readonly similar?: (option: string, candidate: string) => boolean;
  /** Number of tokens the model's tokenizer makes of a text. */
  readonly tokenLength: (text: string) => number;
  /** With the pair's id it fixes the draw, whatever the other pairs are. */
  readonly seed: number | string;
}

/**
 * The clean prompt with both options replaced. A stand-in is drawn from the pool; it is neither option nor similar to
 * one, stands nowhere else in the prompt, differs from the other stand-in, and leaves the prompt's token length as it is.
 * @returns the prompt and the stand-ins of the correct and the incorrect option, or why there is none
 */
export function replaceOptions(
  pair: PairDraft,
  options: ReplacementOptions,
): { prompt: string; standIns: [string, string] } | { reason: string; detail: string } {
  const { cleanPrompt, correct, incorrect } = pair;
  const spans = findOptions(cleanPrompt, correct, incorrect);
  if (!spans) {
    const detail = `"${correct}" and "${incorrect}" do not stand left and right of "or" in "${cleanPrompt}"`;
    return { reason: 'option-not-in-prompt', detail };
  }
  const random = seeded(`${options.seed}/str/${pair.id}`);
  const length = options.tokenLength(cleanPrompt);
  const similar = options.similar ?? (() => false);

  const standIn = (prompt: string, span: Span, option: string): string | undefined =>
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
          options.tokenLength(splice(prompt, span, candidate)) === length,
      );
  const none = (option: string) => ({
    reason: 'no-replacement',
    detail: `no word of the pool can stand in for "${option}" in "${cleanPrompt}" with the same number of tokens`,
  });

  const forCorrect = standIn(cleanPrompt, spans.correct, correct);
  if (forCorrect === undefined) return none(correct);
  const half = splice(cleanPrompt, spans.correct, forCorrect);
  const shift = spans.correct[0] < spans.incorrect[0] ? half.length - cleanPrompt.length : 0;
  const span = [spans.incorrect[0] + shift, spans.incorrect[1] + shift] as const;
  const forIncorrect = standIn(half, span, incorrect);
  if (forIncorrect === undefined) return none(incorrect);
  return { prompt: splice(half, span, forIncorrect), standIns: [forCorrect, forIncorrect] };
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

function splice(text: string, [start, end]: Span, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}
