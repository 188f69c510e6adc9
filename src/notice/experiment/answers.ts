// What a model answers to a pair's question, and when an answer is right.

import { NoticeError } from '../../errors.ts';
import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { namingNotFinite } from '../../patching/index.ts';
import { paperConventions } from '../conventions.ts';
import type { Pair } from '../datasets/pair.ts';
import { type ExactMatch, isExactMatch } from './exact-match.ts';
import { type ImageReader, openImage, type PairImages } from './images.ts';

/** What the model answered to a pair. */
export interface Evaluation {
  readonly id: string;
  readonly category: string;
  readonly correct: string;
  readonly incorrect: string;
  /** With the clean image. */
  readonly answer: string;
  /** With the counterpart image. */
  readonly corruptAnswer: string;
  /** Whether `answer` is right by the criterion that selects samples. */
  readonly cleanCorrect: boolean;
  /** Whether the counterpart image turned the answer into the other option, by the same criterion. */
  readonly corruptIncorrect: boolean;
}

/** An evaluation under the key of all that decides it. */
export interface KeyedEvaluation extends Evaluation {
  readonly key: string;
}

/** The longest answer; options are short. */
const MAX_NEW_TOKENS = 12;

/** A pair to ask about. */
export interface Question {
  readonly pair: Pair;
  /** What the bytes of its images must be. */
  readonly digests?: PairImages;
}

/**
 * Asks the clean question with both images of every pair, all at once.
 *
 * @returns for every pair its evaluation, or why it could not be asked
 * @throws NoticeError('not-finite') naming pair and hook point
 */
export async function askPairs(
  model: VisionLanguageModel,
  processor: Processor,
  reader: ImageReader,
  questions: readonly Question[],
): Promise<(Evaluation | NoticeError)[]> {
  try {
    const samples = await Promise.all(
      questions.flatMap(({ pair: { cleanImage, corruptImage, cleanPrompt }, digests }) =>
        [
          { path: cleanImage, digest: digests?.clean },
          { path: corruptImage, digest: digests?.corrupt },
        ].map(async ({ path, digest }) => {
          const { image } = await openImage(reader, path, digest);
          return processor.sample(image, cleanPrompt, path);
        }),
      ),
    );
    const generated = await namingNotFinite(
      model,
      () =>
        samples.map((sample, i) => {
          const { id } = (questions[i >> 1] as Question).pair;
          return { name: `pair ${id}, ${i % 2 ? 'counterpart' : 'clean'} image`, sample };
        }),
      () => model.generate(samples, { maxNewTokens: MAX_NEW_TOKENS }),
    );
    const answers = generated.map(({ ids }) => processor.answer(ids));
    return questions.map(({ pair }, i) =>
      evaluate(
        pair,
        answers[2 * i] as string,
        answers[2 * i + 1] as string,
        paperConventions(model).selectsBy,
      ),
    );
  } catch (error) {
    if (!(error instanceof NoticeError && ['text', 'image'].includes(error.code))) throw error;
    if (questions.length === 1) return [error];
    // One of them is at fault: each by itself.
    const each: (Evaluation | NoticeError)[] = [];
    for (const question of questions) each.push(...(await askPairs(model, processor, reader, [question])));
    return each;
  }
}

function evaluate(pair: Pair, answer: string, corruptAnswer: string, criterion: ExactMatch): Evaluation {
  const { id, category, correct, incorrect } = pair;
  return {
    id,
    category,
    correct,
    incorrect,
    answer,
    corruptAnswer,
    cleanCorrect: isExactMatch(answer, correct, criterion),
    corruptIncorrect: isExactMatch(corruptAnswer, incorrect, criterion),
  };
}
