// Which token stands for an answer.
import { NoticeError } from '../errors.ts';
import type { Tokenizer } from './tokenizer.ts';

/** Which of the answer's tokens its logit is read for. */
export type AnswerToken = 'first' | 'last';

export interface AnswerOptions {
  /** `first` (default): the first token that the model would generate for the answer. */
  readonly token?: AnswerToken;
  /**
   * The end of the prompt that the answer continues, such as `ASSISTANT:`; empty (default) for a decoder of its own. The
   * answer begins with a space, unless a line break stands before it.
   */
  readonly after?: string;
}

/**
 * Token ids of an answer as the model would generate it, letter case kept.
 *
 * @throws NoticeError('text') if the answer is empty or fuses with the text before it
 */
export function answerTokens(tokenizer: Tokenizer, answer: string, after = ''): number[] {
  const before = tokenizer.encode(after, { specialTokens: false });
  const space = after === '' || after.endsWith('\n') ? '' : ' ';
  const whole = tokenizer.encode(`${after}${space}${answer.trim()}`, { specialTokens: false });
  const tokens = whole.slice(before.length);
  if (tokens.length === 0 || before.some((id, index) => id !== whole[index])) {
    throw new NoticeError('text', `The answer ${JSON.stringify(answer)} has no tokens of its own.`);
  }
  return tokens;
}

/**
 * Token ids that stand for the correct and the incorrect answer.
 *
 * @returns [correct, incorrect]
 * @throws NoticeError('text') if a token is outside the vocabulary, or both are the same (their logit difference
 *   would be 0 whatever the model does)
 */
export function answerTokenIds(
  tokenizer: Tokenizer,
  answers: { readonly correct: string; readonly incorrect: string },
  { token = 'first', after = '' }: AnswerOptions = {},
): [correct: number, incorrect: number] {
  const pick = (answer: string): number => {
    const id = answerTokens(tokenizer, answer, after).at(token === 'first' ? 0 : -1)!;
    if (id === tokenizer.unknownId) {
      throw new NoticeError(
        'text',
        `The answer ${JSON.stringify(answer)} is outside the model's vocabulary.`,
      );
    }
    return id;
  };
  const ids: [number, number] = [pick(answers.correct), pick(answers.incorrect)];
  if (ids[0] === ids[1]) {
    throw new NoticeError(
      'text',
      `The answers ${JSON.stringify(answers.correct)} and ${JSON.stringify(answers.incorrect)} have the same ${token} ` +
        `token ${JSON.stringify(tokenizer.idToToken(ids[0]))}: no logit difference tells them apart.`,
    );
  }
  return ids;
}

/**
 * Writes an answer in the letter case of an example: LLaVA answers "Happy" where the prompt says "happy", and the
 * token of the other option has to be compared in the same case.
 */
export function inCaseOf(answer: string, example: string): string {
  const [first = ''] = example.trim();
  return first === first.toLowerCase() ? answer : answer.charAt(0).toUpperCase() + answer.slice(1);
}
