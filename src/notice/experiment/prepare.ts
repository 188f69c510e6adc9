// From a pair of a data set to what is run: images and prompts as the model reads them, which token plays which part,
// and which logits are compared.

import { NoticeError } from '../../errors.ts';
import { answerTokenIds, inCaseOf, optionTokens, promptRoles } from '../../inputs/index.ts';
import type {
  ImageInput,
  PreparedPrompt,
  Processor,
  Sample,
  VisionLanguageModel,
} from '../../models/index.ts';
import type { CompatSwitch } from '../../patching/index.ts';
import { readImage } from '../../platform/node/images.ts';
import { paperConventions } from '../conventions.ts';
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
    const images = [await readInput(processor, pair.cleanImage)];
    const prompt = processor.prompt(pair.cleanPrompt, images);
    const { encoded, ids, positions } = prompt;
    const [correct, incorrect] = answerIds(model, processor, pair, answer, compat);
    const roles = promptRoles(encoded, pair);
    const span = optionTokens(encoded, pair).correct;
    const clean = { images, ids };
    const { text, textProblem } = textPair(model, processor, pair, { prompt, sample: clean }, compat);
    const answerPositions = positions.slice(span.start, span.end);
    return {
      pair,
      clean,
      corruptImage: { images: [await readInput(processor, pair.corruptImage)], ids },
      generated: generated ? { images: [await readInput(processor, generated)], ids } : undefined,
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
  const token = asReleased ? paperConventions(model).releasedAnswerToken : 'first';
  const options = {
    correct: inCaseOf(correct, answer),
    // The released code compares what the model wrote with the other option as the data set has it.
    incorrect: asReleased ? incorrect : inCaseOf(incorrect, answer),
  };
  return answerTokenIds(processor.tokenizer, options, { token, after: processor.answerContext });
}

/** The groups of positions at which heads are patched. */
function headGroups(
  model: VisionLanguageModel,
  answer: readonly number[],
  length: number,
  compat: readonly CompatSwitch[],
): HeadGroup[] {
  const { headPositions, releasedHeadShift } = paperConventions(model);
  const shift = compat.includes(releasedHeadShift.by) ? releasedHeadShift.tokens : 0;
  const groups = headPositions.map(
    (where): HeadGroup =>
      where === 'last'
        ? { positions: [length - 1], role: 'last' }
        : { positions: answer.map((position) => position + shift) },
  );
  // Where the prompt ends before the shifted option, heads are not patched there at all.
  return groups.filter(({ positions }) => positions.every((position) => position < length));
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
  if (!paperConventions(model).releasedPadding || !compat.includes('unmasked-padding')) return undefined;
  return processor.tokenizer.tokenToId('[PAD]');
}

async function readInput(processor: Processor, path: string): Promise<ImageInput> {
  return processor.image(await readImage(path), path);
}
