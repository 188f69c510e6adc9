// Whether the model can do the task at all: exact match of its answers (Table 2), before anything is patched.

import type { Processor, VisionLanguageModel } from '../../models/index.ts';
import { readImage } from '../../platform/node/images.ts';
import type { Pair } from '../datasets/index.ts';

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
  readonly cleanCorrect: boolean;
  /** Whether the counterpart image turned the answer into the other option. */
  readonly corruptIncorrect: boolean;
}

/** Questions that are answered at once. */
const BATCH = 16;
/** The longest answer; options are short. */
const MAX_NEW_TOKENS = 12;

/** Answers to the clean prompt with both images of every pair. */
export async function evaluatePairs(
  model: VisionLanguageModel,
  processor: Processor,
  pairs: readonly Pair[],
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Evaluation[]> {
  const evaluations: Evaluation[] = [];
  for (let first = 0; first < pairs.length; first += BATCH) {
    const batch = pairs.slice(first, first + BATCH);
    const samples = await Promise.all(
      batch.flatMap((pair) =>
        [pair.cleanImage, pair.corruptImage].map(async (path) =>
          processor.sample(await readImage(path), pair.cleanPrompt, path),
        ),
      ),
    );
    const answers = (await model.generate(samples, { maxNewTokens: MAX_NEW_TOKENS })).map(({ ids }) =>
      processor.answer(ids),
    );
    batch.forEach((pair, i) => {
      const [answer = '', corruptAnswer = ''] = answers.slice(2 * i, 2 * i + 2);
      evaluations.push({
        id: pair.id,
        category: pair.category,
        correct: pair.correct,
        incorrect: pair.incorrect,
        answer,
        corruptAnswer,
        cleanCorrect: sameAnswer(answer, pair.correct),
        corruptIncorrect: sameAnswer(corruptAnswer, pair.incorrect),
      });
    });
    onProgress(evaluations.length, pairs.length);
  }
  return evaluations;
}

/** Exact match but for letter case, surrounding space and a full stop. */
export function sameAnswer(answer: string, expected: string): boolean {
  const normal = (text: string) => text.trim().replace(/\.$/, '').toLowerCase();
  return normal(answer) === normal(expected);
}
