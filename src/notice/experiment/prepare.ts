// From a pair of a data set to what is run: images and prompts as the model reads them, which token plays which part,
// and which logits are compared.

import { NoticeError } from '../../errors.ts';
import {
  answerTokenIds,
  inCaseOf,
  NOTICE_CODE_ANSWER_TOKEN,
  optionTokens,
  type PixelValues,
  promptRoles,
} from '../../inputs/index.ts';
import type { PreparedPrompt, Processor, Sample, VisionLanguageModel } from '../../models/index.ts';
import type { CompatSwitch } from '../../patching/index.ts';
import { readImage } from '../../platform/node/images.ts';
import { type Pair, textProblem } from '../datasets/index.ts';

export interface PreparedPair {
  readonly pair: Pair;
  readonly clean: Sample;
  /** The clean question with the counterpart image. */
  readonly corruptImage: Sample;
  /** The clean question with the generated counterpart image, if there is one. */
  readonly generated: Sample | undefined;
  /** The clean image with the clean question and with the replaced options; undefined if their tokens do not line up. */
  readonly text: { readonly clean: Sample; readonly corrupt: Sample } | undefined;
  /** Why not. */
  readonly textProblem: string | undefined;
  readonly prompt: PreparedPrompt;
  readonly correct: number;
  readonly incorrect: number;
  /** Tokens that modules are patched at, each with its part and text. */
  readonly tokens: readonly { readonly position: number; readonly role: string; readonly text: string }[];
  /** Positions of the correct option in the prompt, at which attention is looked at. */
  readonly answerPositions: readonly number[];
  /** Where single heads are patched: groups of positions, each patched together. */
  readonly headGroups: readonly HeadGroup[];
}

export interface HeadGroup {
  readonly positions: readonly number[];
  /** `last`: the last position, at which a causal decoder answers. Left out: the token's own. */
  readonly role?: 'last';
}

export interface PrepareOptions {
  readonly answer: string;
  readonly compat: readonly CompatSwitch[];
  readonly generated?: string | undefined;
}

/** Tokens before the question in the template of the paper's code, which `head-offset` counts twice. */
const FORMATTING_TOKENS = 8;

/**
 * @param options `answer`: what the model answered, for the letter case of the options; `generated`: path of the generated
 *   counterpart image
 * @throws NoticeError naming the pair
 */
export async function preparePair(
  model: VisionLanguageModel,
  processor: Processor,
  pair: Pair,
  { answer, compat, generated }: PrepareOptions,
): Promise<PreparedPair> {
  try {
    const prompt = processor.prompt(pair.cleanPrompt);
    const { encoded, ids, positions } = prompt;
    const image = await pixelValues(processor, pair.cleanImage);
    const [correct, incorrect] = answerIds(model, processor, pair, answer, compat);
    const roles = promptRoles(encoded, pair);
    const span = optionTokens(encoded, pair).correct;
    const clean = { image, ids };
    const { text, textProblem } = textPair(model, processor, pair, { prompt, sample: clean }, compat);
    const answerPositions = positions.slice(span.start, span.end);
    return {
      pair,
      clean,
      corruptImage: { image: await pixelValues(processor, pair.corruptImage), ids },
      generated: generated ? { image: await pixelValues(processor, generated), ids } : undefined,
      text,
      textProblem,
      prompt,
      correct,
      incorrect,
      tokens: encoded.tokens.flatMap((text, i) =>
        roles[i] === 'image' ? [] : [{ position: positions[i] as number, role: roles[i] as string, text }],
      ),
      answerPositions,
      headGroups: headGroups(model, answerPositions, ids.length, compat),
    };
  } catch (cause) {
    if (!(cause instanceof NoticeError)) throw cause;
    throw new NoticeError(cause.code, `pair ${pair.id}: ${cause.message}`, { cause });
  }
}

function answerIds(
  model: VisionLanguageModel,
  processor: Processor,
  { correct, incorrect }: Pair,
  answer: string,
  compat: readonly CompatSwitch[],
): [number, number] {
  const asReleased = compat.includes('answer-token');
  const token = asReleased ? NOTICE_CODE_ANSWER_TOKEN[model.family] : 'first';
  const options = {
    correct: inCaseOf(correct, answer),
    // The released code compares what the model wrote with the other option as the data set has it.
    incorrect: asReleased ? incorrect : inCaseOf(incorrect, answer),
  };
  return answerTokenIds(processor.tokenizer, options, { token, after: processor.answerContext });
}

/** The correct option's tokens, and with a causal decoder the last position (Appendix G). */
function headGroups(
  model: VisionLanguageModel,
  answer: readonly number[],
  length: number,
  compat: readonly CompatSwitch[],
): HeadGroup[] {
  const shift = headShift(model, compat);
  const shifted = answer.map((position) => position + shift);
  if (model.family === 'blip') return [{ positions: shifted }];
  const last: HeadGroup = { positions: [length - 1], role: 'last' };
  return shifted.every((position) => position < length) ? [{ positions: shifted }, last] : [last];
}

/**
 * How far from the answer heads are patched: under `row-before-answer` one token before BLIP's ([CLS] was not counted), under
 * `head-offset` 8 behind LLaVA's; where the prompt ends before that, not at all.
 */
function headShift({ family }: VisionLanguageModel, compat: readonly CompatSwitch[]): number {
  if (family === 'blip') return compat.includes('row-before-answer') ? -1 : 0;
  return compat.includes('head-offset') ? FORMATTING_TOKENS : 0;
}

function textPair(
  model: VisionLanguageModel,
  processor: Processor,
  pair: Pair,
  clean: { readonly prompt: PreparedPrompt; readonly sample: Sample },
  compat: readonly CompatSwitch[],
): Pick<PreparedPair, 'text' | 'textProblem'> {
  const corrupt = processor.prompt(pair.corruptPrompt);
  const padding = paddingToken(model, processor, compat);
  const problem =
    padding === undefined ? textProblem(pair, (question) => processor.prompt(question).encoded) : undefined;
  if (problem) return { text: undefined, textProblem: problem.detail };
  const length = Math.max(clean.sample.ids.length, corrupt.ids.length);
  const padded = (sample: Sample): Sample => {
    const missing = length - sample.ids.length;
    // Sweeps share the run of a sample by its object.
    return missing === 0
      ? sample
      : { ...sample, ids: [...sample.ids, ...new Array<number>(missing).fill(padding ?? 0)] };
  };
  const { sample } = clean;
  return {
    text: { clean: padded(sample), corrupt: padded({ ...sample, ids: corrupt.ids }) },
    textProblem: undefined,
  };
}

/**
 * The token that the shorter of two questions is filled up with, which attends and is attended to: BLIP's under
 * `unmasked-padding`, otherwise none.
 */
export function paddingToken(
  model: VisionLanguageModel,
  processor: Processor,
  compat: readonly CompatSwitch[],
): number | undefined {
  if (model.family !== 'blip' || !compat.includes('unmasked-padding')) return undefined;
  return processor.tokenizer.tokenToId('[PAD]');
}

async function pixelValues(processor: Processor, path: string): Promise<PixelValues> {
  return processor.images.process(await readImage(path), path).pixelValues;
}
