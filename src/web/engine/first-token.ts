// What logits say of an answer's first token.

import { candidates } from '../../inputs/index.ts';
import type { Processor } from '../../models/index.ts';
import { readableToken } from '../../notice/token-text.ts';
import type { RunAnswer } from '../protocol/session.ts';

const TOP = 5;

/** @param logits [vocabulary] */
export function firstToken(
  processor: Processor,
  logits: Float32Array,
  { correct, incorrect }: { readonly correct: number; readonly incorrect: number },
): Omit<RunAnswer, 'answer'> {
  const likeliest = candidates(logits);
  const p = (id: number) => likeliest.find(({ token }) => token === id)?.probability ?? 0;
  return {
    pCorrect: p(correct),
    pIncorrect: p(incorrect),
    logitDifference: (logits[correct] as number) - (logits[incorrect] as number),
    top: likeliest.slice(0, TOP).map(({ token, probability }) => ({
      token: readableToken(processor.tokenizer.idToToken(token) ?? `#${token}`),
      p: probability,
    })),
  };
}
