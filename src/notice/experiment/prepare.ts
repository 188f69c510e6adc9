// From a pair of a data set to what is run: images and prompts as the model reads them, which token plays which part,
// and which logits are compared.

import { NoticeError } from '../../errors.ts';
import {
  answerTokenIds,
  findPhrase,
  inCaseOf,
  NOTICE_CODE_ANSWER_TOKEN,
  type PixelValues,
  promptRoles,
} from '../../inputs/index.ts';
import {
  checkSameLength,
  type PreparedPrompt,
  type Processor,
  type Sample,
  type VisionLanguageModel,
} from '../../models/index.ts';
import type { CompatSwitch } from '../../patching/index.ts';
import { readImage } from '../../platform/node/images.ts';
import type { Pair } from '../datasets/index.ts';

export interface PreparedPair {
  readonly pair: Pair;
  readonly clean: Sample;
  /** The clean question with the counterpart image. */
  readonly corruptImage: Sample;
  /** The clean image with the replaced options; undefined if their tokens do not line up. */
  readonly corruptText: Sample | undefined;
  /** Why not. */
  readonly textProblem: string | undefined;
  readonly prompt: PreparedPrompt;
  readonly correct: number;
  readonly incorrect: number;
  /** Tokens that modules are patched at, each with its part and text. */
  readonly tokens: readonly { readonly position: number; readonly role: string; readonly text: string }[];
  /** Positions of the correct option in the prompt: where heads are patched, all together. */
  readonly answerPositions: readonly number[];
}

/**
 * @param answer what the model answered, for the letter case of the options
 * @throws NoticeError naming the pair
 */
export async function preparePair(
  model: VisionLanguageModel,
  processor: Processor,
  pair: Pair,
  { answer, compat }: { readonly answer: string; readonly compat: readonly CompatSwitch[] },
): Promise<PreparedPair> {
  try {
    const prompt = processor.prompt(pair.cleanPrompt);
    const { encoded, ids, positions } = prompt;
    const image = await pixelValues(processor, pair.cleanImage);
    const [correct, incorrect] = answerIds(model, processor, pair, answer, compat);
    const roles = promptRoles(encoded, pair);
    const span = findPhrase(encoded, pair.correct, 'last');
    const { corruptText, textProblem } = corruptTextOf(processor, pair, prompt, image);
    return {
      pair,
      clean: { image, ids },
      corruptImage: { image: await pixelValues(processor, pair.corruptImage), ids },
      corruptText,
      textProblem,
      prompt,
      correct,
      incorrect,
      tokens: encoded.tokens.flatMap((text, i) =>
        roles[i] === 'image' ? [] : [{ position: positions[i] as number, role: roles[i] as string, text }],
      ),
      answerPositions: positions.slice(...answerSpan(model, span, compat)),
    };
  } catch (cause) {
    if (!(cause instanceof NoticeError)) throw cause;
    throw new NoticeError(cause.code, `pair ${pair.id}: ${cause.message}`, { cause });
  }
}

/** Under `row-before-answer`, BLIP's heads are patched one row above the answer ([CLS] was not counted). */
function answerSpan(
  model: VisionLanguageModel,
  { start, end }: { start: number; end: number },
  compat: readonly CompatSwitch[],
): [number, number] {
  const shift = model.family === 'blip' && compat.includes('row-before-answer') ? -1 : 0;
  return [start + shift, end + shift];
}

function answerIds(
  model: VisionLanguageModel,
  processor: Processor,
  { correct, incorrect }: Pair,
  answer: string,
  compat: readonly CompatSwitch[],
): [number, number] {
  const token = compat.includes('answer-token') ? NOTICE_CODE_ANSWER_TOKEN[model.family] : 'first';
  const options = { correct: inCaseOf(correct, answer), incorrect: inCaseOf(incorrect, answer) };
  return answerTokenIds(processor.tokenizer, options, { token, after: processor.answerContext });
}

function corruptTextOf(
  processor: Processor,
  pair: Pair,
  clean: PreparedPrompt,
  image: PixelValues,
): { corruptText: Sample | undefined; textProblem: string | undefined } {
  const corrupt = processor.prompt(pair.corruptPrompt);
  try {
    checkSameLength(clean, corrupt);
    return { corruptText: { image, ids: corrupt.ids }, textProblem: undefined };
  } catch (error) {
    if (!(error instanceof NoticeError)) throw error;
    return { corruptText: undefined, textProblem: error.message };
  }
}

async function pixelValues(processor: Processor, path: string): Promise<PixelValues> {
  return processor.images.process(await readImage(path), path).pixelValues;
}
