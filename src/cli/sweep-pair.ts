// The pair of a sweep, from a file of tensors or from pictures, questions and words.

import { NoticeError } from '../errors.ts';
import { answerTokenIds } from '../inputs/index.ts';
import type { ImageInput, Processor, VisionLanguageModel } from '../models/index.ts';
import { drawNoise, embeddingDeviation, type PatchPair } from '../patching/index.ts';
import { readSample } from './options.ts';
import { integersIn, readInputs, samplesFrom } from './tensors.ts';

/** The paper's: three times the standard deviation of the image's embeddings. */
const NOISE_SCALE = 3;

export interface PairOptions {
  readonly inputs?: string;
  readonly clean?: string[];
  readonly corrupt?: string[];
  readonly prompt?: string;
  readonly corruptPrompt?: string;
  readonly corruption?: 'noise' | 'no-image';
  readonly seed: number;
  readonly correct?: string;
  readonly incorrect?: string;
}

/** A pair, and the prompt's tokens with their positions where they are known. */
export interface ReadPair {
  readonly pair: PatchPair;
  readonly tokens?: ReadonlyMap<number, string>;
}

/** @throws NoticeError('usage') that says what is missing, before anything is opened */
export function checkPairOptions(options: PairOptions): void {
  const { inputs, clean, corrupt, prompt, corruptPrompt, corruption, correct, incorrect } = options;
  if (!inputs && !(clean && prompt !== undefined))
    throw new NoticeError('usage', 'sweep needs --clean and --prompt, or --inputs');
  if (!inputs && !(corrupt || corruptPrompt !== undefined || corruption))
    throw new NoticeError(
      'usage',
      'sweep needs what is corrupt: --corrupt with another picture, --corrupt-prompt with another question, or --corruption noise or no-image',
    );
  if ((correct === undefined) !== (incorrect === undefined) || (!inputs && correct === undefined))
    throw new NoticeError('usage', 'sweep needs --correct and --incorrect, the answers that are compared');
}

/** The pair that the options say. */
export async function readPair(
  model: VisionLanguageModel,
  processor: () => Promise<Processor>,
  options: PairOptions,
): Promise<ReadPair> {
  const { inputs, correct, incorrect } = options;
  const answers = async () =>
    correct !== undefined && incorrect !== undefined
      ? answerIds(await processor(), { correct, incorrect })
      : undefined;
  if (inputs !== undefined) return { pair: await pairOfFile(model, inputs, await answers()) };
  return pairOfPictures(model, await processor(), options, (await answers()) as [number, number]);
}

/** The tensors of `--inputs` as a pair; without tokens of answers those that it names. */
async function pairOfFile(
  model: VisionLanguageModel,
  inputs: string,
  answers?: readonly [correct: number, incorrect: number],
): Promise<PatchPair> {
  const tensors = await readInputs(inputs);
  const sampleOf = (side: string) => {
    const { samples } = samplesFrom(tensors, inputs, `${side}/`, model);
    const [sample] = samples;
    if (!sample || samples.length > 1)
      throw new NoticeError(
        'shape',
        `${inputs}: "${side}/" holds ${samples.length} prompts, a sweep takes one`,
      );
    return sample;
  };
  const clean = sampleOf('clean');
  const corrupt = sampleOf('corrupt');
  // Images of equal pixels are one: what is made of them is shared.
  const images = corrupt.images.map(
    (image) => clean.images.find((other) => samePixels(image, other)) ?? image,
  );
  const [correct, incorrect] = answers ?? (integersIn(tensors, inputs, 'answer_ids', 2) as [number, number]);
  return { clean, corrupt: { ...corrupt, images }, correct, incorrect };
}

function samePixels(a: ImageInput, b: ImageInput): boolean {
  return a.data.length === b.data.length && a.data.every((value, at) => value === b.data[at]);
}

/** Pictures and questions as a pair. */
async function pairOfPictures(
  model: VisionLanguageModel,
  processor: Processor,
  { clean: pictures = [], corrupt, prompt = '', corruptPrompt = prompt, corruption, seed }: PairOptions,
  [correct, incorrect]: readonly [number, number],
): Promise<ReadPair> {
  const clean = await readSample(processor, pictures, prompt);
  const { encoded, positions } = processor.prompt(prompt, clean.images);
  const tokens = new Map(positions.map((position, i) => [position, encoded.tokens[i] ?? '']));
  const pair = { clean, corrupt: clean, correct, incorrect };
  if (corruption === 'no-image') return { pair: { ...pair, noImage: true }, tokens };
  if (corruption === 'noise') {
    const deviation = NOISE_SCALE * (await embeddingDeviation(model, [[clean]]));
    const noise = { hook: model.imageEmbedding, values: drawNoise(model, clean, deviation, String(seed)) };
    return { pair: { ...pair, noise }, tokens };
  }
  const other = corrupt
    ? await readSample(processor, corrupt, corruptPrompt)
    : processor.sample(clean.images, corruptPrompt, pictures);
  return { pair: { ...pair, corrupt: other }, tokens };
}

function answerIds(processor: Processor, words: { readonly correct: string; readonly incorrect: string }) {
  const [correct, incorrect] = answerTokenIds(processor.tokenizer, words, { after: processor.answerContext });
  return [correct, incorrect] as const;
}
