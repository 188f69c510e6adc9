// From a pair of a data set to what is run: images and prompts as the model reads them, which token plays which part,
// and which logits are compared.

import { NoticeError } from '../../errors.ts';
import { answerTokenIds, inCaseOf, optionTokens, promptRoles, type TokenRole } from '../../inputs/index.ts';
import {
  type ImageInput,
  type PreparedPrompt,
  type Processor,
  type Sample,
  TooLongError,
  type VisionLanguageModel,
} from '../../models/index.ts';
import type { CompatSwitch } from '../compat.ts';
import { paperConventions } from '../conventions.ts';
import type { Pair } from '../datasets/pair.ts';
import { textProblem } from '../datasets/str.ts';
import { type ImageReader, openImage, type PairImages } from './images.ts';

/** What of a pair can be known without its images. */
export interface PairText {
  readonly pair: Pair;
  /** Part of each token of the question. */
  readonly roles: readonly TokenRole[];
  /** Whether the correct option stands first in the question. */
  readonly correctFirst: boolean;
  readonly correct: number;
  readonly incorrect: number;
  /** Why its options cannot be replaced token by token. */
  readonly textProblem: string | undefined;
}

export interface PreparedPair extends PairText {
  readonly clean: Sample;
  /** The clean question with the counterpart image. */
  readonly corruptImage: Sample;
  /** The clean question with the generated counterpart image, if there is one. */
  readonly generated: Sample | undefined;
  /** The clean image with the clean question and with the replaced options; undefined if their tokens do not line up. */
  readonly text: { readonly clean: Sample; readonly corrupt: Sample } | undefined;
  readonly prompt: PreparedPrompt;
  /** Tokens that modules are patched at, each with its part and text. */
  readonly tokens: readonly { readonly position: number; readonly role: string; readonly text: string }[];
  /** Positions of the correct option in the prompt. */
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
  /** What the model answered, for the letter case of the options. */
  readonly answer: string;
  readonly compat: readonly CompatSwitch[];
}

/** A pair that cannot be patched, and why in one word that can be counted. */
export class UnusablePair extends NoticeError {
  override readonly name: string = 'UnusablePair';
  readonly reason: string;

  constructor(reason: string, pair: Pair, cause: NoticeError) {
    super(cause.code, `pair ${pair.id}: ${cause.message}`, { cause });
    this.reason = reason;
  }
}

/**
 * @throws UnusablePair "option-not-in-prompt"; "answer-tokens": no logit difference tells the options apart
 */
export function prepareText(
  model: VisionLanguageModel,
  processor: Processor,
  pair: Pair,
  { answer, compat }: PrepareOptions,
): PairText {
  const attempt = <T>(reason: string, step: () => T): T => {
    try {
      return step();
    } catch (cause) {
      if (!(cause instanceof NoticeError)) throw cause;
      throw new UnusablePair(reason, pair, cause);
    }
  };
  const encoded = processor.encode(pair.cleanPrompt);
  const roles = attempt('option-not-in-prompt', () => promptRoles(encoded, pair, processor.imageTokens));
  const options = optionTokens(encoded, pair);
  const [correct, incorrect] = attempt('answer-tokens', () =>
    answerIds(model, processor, pair, answer, compat),
  );
  const padded = paddingToken(model, processor, compat) !== undefined;
  return {
    pair,
    roles,
    correctFirst: options.correct.start < options.incorrect.start,
    correct,
    incorrect,
    textProblem: padded
      ? tooLong(model, processor, pair.corruptPrompt)?.message
      : textProblem(pair, (question) => processor.encode(question))?.detail,
  };
}

/**
 * What a model says to a prompt with more tokens than it reads.
 *
 * @param image default one of the size that the model was made for
 */
export function tooLong(
  model: VisionLanguageModel,
  processor: Processor,
  question: string,
  image: ImageInput = model.blankImage(),
): TooLongError | undefined {
  try {
    processor.prompt(question, [image]);
  } catch (error) {
    if (error instanceof TooLongError) return error;
    if (!(error instanceof NoticeError)) throw error;
  }
  return undefined;
}

/**
 * What is wrong with a picture in the place of a pair's clean one: of another size, it may stand for other tokens.
 *
 * @param clean the clean picture as the model reads it; of both only the sizes count
 */
export function otherTokens(
  processor: Processor,
  pair: Pair,
  { path, input }: { readonly path: string; readonly input: ImageInput },
  clean: ImageInput,
): NoticeError | undefined {
  const [ids, theirs] = [clean, input].map((image) => processor.prompt(pair.cleanPrompt, [image]).ids) as [
    readonly number[],
    readonly number[],
  ];
  if (theirs.length === ids.length && theirs.every((id, p) => id === ids[p])) return undefined;
  return new NoticeError(
    'image',
    `pair ${pair.id}: with ${path} the prompt has ${theirs.length} tokens, with ${pair.cleanImage} ${ids.length}, or others; ` +
      'patching goes position by position, so give the model pictures of the same size',
  );
}

/**
 * A pair with its images.
 *
 * @param options `digests`: what the images' bytes must be; `generated`: path of the generated counterpart image
 * @throws UnusablePair, NoticeError('image') also for pictures that do not stand for the same tokens, ('text'), ('data') if an image is another than it was
 */
export async function preparePair(
  model: VisionLanguageModel,
  processor: Processor,
  pair: Pair,
  options: PrepareOptions & {
    readonly reader: ImageReader;
    readonly generated?: string | undefined;
    readonly digests?: PairImages;
  },
): Promise<PreparedPair> {
  const { reader, generated, digests, compat } = options;
  const known = prepareText(model, processor, pair, options);
  const read = async (path: string, digest: string | undefined): Promise<ImageInput[]> => {
    const { image } = await openImage(reader, path, digest);
    return [processor.image(image, path)];
  };
  const images = await read(pair.cleanImage, digests?.clean);
  const prompt = processor.prompt(pair.cleanPrompt, images);
  const { encoded, ids, instruction, positions } = prompt;
  const readAlike = async (path: string, digest: string | undefined): Promise<ImageInput[]> => {
    const other = await read(path, digest);
    const problem = otherTokens(
      processor,
      pair,
      { path, input: other[0] as ImageInput },
      images[0] as ImageInput,
    );
    if (problem) throw problem;
    return other;
  };
  const clean: Sample = { images, ids, instruction };
  const span = optionTokens(encoded, pair).correct;
  const answerPositions = positions.slice(span.start, span.end);
  return {
    ...known,
    clean,
    corruptImage: { ...clean, images: await readAlike(pair.corruptImage, digests?.corrupt) },
    generated: generated ? { ...clean, images: await readAlike(generated, digests?.generated) } : undefined,
    text: known.textProblem === undefined ? textPair(model, processor, pair, clean, compat) : undefined,
    prompt,
    tokens: encoded.tokens.flatMap((text, i) => {
      const role = known.roles[i] as TokenRole;
      return role === 'image' ? [] : [{ position: positions[i] as number, role, text }];
    }),
    answerPositions,
    headGroups: headGroups(model, answerPositions, ids.length, compat),
  };
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

/** Both questions, the shorter filled up where padding is asked for. */
function textPair(
  model: VisionLanguageModel,
  processor: Processor,
  pair: Pair,
  clean: Sample,
  compat: readonly CompatSwitch[],
): NonNullable<PreparedPair['text']> {
  const { ids, instruction } = processor.prompt(pair.corruptPrompt, clean.images);
  const corrupt: Sample = { ...clean, ids, instruction };
  const padding = paddingToken(model, processor, compat) ?? 0;
  const length = Math.max(clean.ids.length, corrupt.ids.length);
  const padded = (sample: Sample): Sample => {
    const missing = length - sample.ids.length;
    // Sweeps share the run of a sample by its object.
    return missing === 0
      ? sample
      : { ...sample, ids: [...sample.ids, ...new Array<number>(missing).fill(padding)] };
  };
  return { clean: padded(clean), corrupt: padded(corrupt) };
}

/**
 * The token that the shorter of two questions is filled up with, which attends and is attended to: BLIP's under
 * `unmasked-padding`, otherwise none.
 */
function paddingToken(
  model: VisionLanguageModel,
  processor: Processor,
  compat: readonly CompatSwitch[],
): number | undefined {
  if (!paperConventions(model).releasedPadding || !compat.includes('unmasked-padding')) return undefined;
  return processor.tokenizer.tokenToId('[PAD]');
}
