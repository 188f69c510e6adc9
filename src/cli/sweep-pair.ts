// The pair of a sweep, or its clean side alone, from a file of tensors or from pictures, questions and words.

import { type Command, Option } from 'commander';
import { NoticeError } from '../errors.ts';
import { answerTokenIds } from '../inputs/index.ts';
import type { ImageInput, PreparedPrompt, Processor, Sample, VisionLanguageModel } from '../models/index.ts';
import { drawNoise, embeddingDeviation, type PatchPair } from '../patching/index.ts';
import { collect, imageBackendOption, integer, readSample } from './options.ts';
import { integersIn, readInputs, samplesFrom } from './tensors.ts';

/** The paper's: three times the standard deviation of the image's embeddings. */
const NOISE_SCALE = 3;

/** The clean run and its answers. */
export interface CleanOptions {
  readonly inputs?: string;
  readonly clean?: string[];
  readonly prompt?: string;
  readonly correct?: string;
  readonly incorrect?: string;
}

export interface PairOptions extends CleanOptions {
  readonly corrupt?: string[];
  readonly corruptPrompt?: string;
  readonly corruption?: 'noise' | 'no-image';
  readonly seed: number;
}

/** The clean run of {@link CleanOptions}. */
export interface ReadClean {
  readonly sample: Sample;
  readonly correct: number;
  readonly incorrect: number;
  /** Where it was made of a question. */
  readonly prompt?: PreparedPrompt;
}

/** Adds the options that say which pair. */
export function addPairOptions(command: Command): Command {
  addInputs(command, ['clean/', 'corrupt/']);
  return addWords(
    command
      .option('--corrupt <file>', 'the picture of the corrupt run; again for more (default --clean)', collect)
      .option('--prompt <text>', 'the question')
      .option('--corrupt-prompt <text>', 'the question of the corrupt run (default --prompt)')
      .addOption(
        new Option(
          '--corruption <kind>',
          'in place of another picture or question: noise on the image, or no image',
        )
          .choices(['noise', 'no-image'])
          .conflicts(['corrupt', 'corruptPrompt', 'inputs']),
      )
      .option('--seed <n>', 'of the noise', integer, 0),
  );
}

/** Adds those that say the clean run and its answers. */
export function addCleanOptions(command: Command): Command {
  addInputs(command, ['clean/']);
  return addWords(command.option('--prompt <text>', 'the question'));
}

function addInputs(command: Command, sides: readonly string[]): void {
  command
    .addOption(
      new Option(
        '--inputs <file>',
        `safetensors with ${sides.join(' and ')} input_ids, pixel_values and what the model reads beside them, and answer_ids [2] (or --correct, --incorrect)`,
      ).conflicts(['clean', 'prompt']),
    )
    .option('--clean <file>', 'the picture of the clean run, in place of --inputs; again for more', collect);
}

function addWords(command: Command): Command {
  return command
    .option('--correct <word>', "the clean run's answer")
    .option('--incorrect <word>', 'the other answer, that of the corrupt run')
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption());
}

/** A pair, and the prompt's tokens with their positions where they are known. */
export interface ReadPair {
  readonly pair: PatchPair;
  readonly tokens?: ReadonlyMap<number, string>;
}

/**
 * @param command its name
 * @param alsoNeeds what it says is missing besides
 * @throws NoticeError('usage') that says what is missing, before anything is opened
 */
export function checkCleanOptions(options: CleanOptions, command: string, alsoNeeds?: string): void {
  const { inputs, clean, prompt, correct, incorrect } = options;
  const needs = (what: string) => new NoticeError('usage', `${command} needs ${what}`);
  if (!inputs && !(clean && prompt !== undefined)) throw needs('--clean and --prompt, or --inputs');
  if (alsoNeeds !== undefined) throw needs(alsoNeeds);
  if ((correct === undefined) !== (incorrect === undefined) || (!inputs && correct === undefined))
    throw needs('--correct and --incorrect, the answers that are compared');
}

/** Throws as {@link checkCleanOptions} */
export function checkPairOptions(options: PairOptions): void {
  const { inputs, corrupt, corruptPrompt, corruption } = options;
  const isCorrupt = inputs || corrupt || corruptPrompt !== undefined || corruption;
  checkCleanOptions(
    options,
    'sweep',
    isCorrupt
      ? undefined
      : 'what is corrupt: --corrupt with another picture, --corrupt-prompt with another question, or --corruption noise or no-image',
  );
}

/** The pair that the options say. */
export async function readPair(
  model: VisionLanguageModel,
  processor: () => Promise<Processor>,
  options: PairOptions,
): Promise<ReadPair> {
  const { inputs } = options;
  const answers = await answersOf(processor, options);
  if (inputs !== undefined) return { pair: await pairOfFile(model, inputs, answers) };
  return pairOfPictures(model, await processor(), options, answers as Answers);
}

/** The clean run alone. */
export async function readClean(
  model: VisionLanguageModel,
  open: () => Promise<Processor>,
  options: CleanOptions,
): Promise<ReadClean> {
  const { inputs, clean: pictures = [], prompt: question = '' } = options;
  const answers = await answersOf(open, options);
  if (inputs !== undefined) {
    const tensors = await readInputs(inputs);
    const [correct, incorrect] = answers ?? answersIn(tensors, inputs);
    return { sample: sampleOf(model, tensors, inputs, 'clean'), correct, incorrect };
  }
  const processor = await open();
  const sample = await readSample(processor, pictures, question);
  const [correct, incorrect] = answers as Answers;
  return { sample, correct, incorrect, prompt: processor.prompt(question, sample.images) };
}

/**
 * The first tokens of two answers: those that the options name, else `answer_ids` of `--inputs`.
 *
 * @throws NoticeError('text'), ('shape')
 */
export async function readAnswers(
  open: () => Promise<Processor>,
  options: Pick<CleanOptions, 'inputs' | 'correct' | 'incorrect'>,
): Promise<Answers> {
  const { inputs = '' } = options;
  return (await answersOf(open, options)) ?? answersIn(await readInputs(inputs), inputs);
}

type Answers = readonly [correct: number, incorrect: number];

/** The first tokens of the answers that the options name. */
async function answersOf(
  processor: () => Promise<Processor>,
  { correct, incorrect }: CleanOptions,
): Promise<Answers | undefined> {
  if (correct === undefined || incorrect === undefined) return undefined;
  return answerIds(await processor(), { correct, incorrect });
}

type Tensors = Awaited<ReturnType<typeof readInputs>>;

function answersIn(tensors: Tensors, inputs: string): Answers {
  return integersIn(tensors, inputs, 'answer_ids', 2) as [number, number];
}

/** The one prompt of a side of `--inputs`. */
function sampleOf(model: VisionLanguageModel, tensors: Tensors, inputs: string, side: string): Sample {
  const { samples } = samplesFrom(tensors, inputs, `${side}/`, model);
  const [sample] = samples;
  if (!sample || samples.length > 1)
    throw new NoticeError(
      'shape',
      `${inputs}: "${side}/" holds ${samples.length} prompts, a sweep takes one`,
    );
  return sample;
}

/** The tensors of `--inputs` as a pair; without tokens of answers those that it names. */
async function pairOfFile(model: VisionLanguageModel, inputs: string, answers?: Answers): Promise<PatchPair> {
  const tensors = await readInputs(inputs);
  const clean = sampleOf(model, tensors, inputs, 'clean');
  const corrupt = sampleOf(model, tensors, inputs, 'corrupt');
  // Images of equal pixels are one: what is made of them is shared.
  const images = corrupt.images.map(
    (image) => clean.images.find((other) => samePixels(image, other)) ?? image,
  );
  const [correct, incorrect] = answers ?? answersIn(tensors, inputs);
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
  [correct, incorrect]: Answers,
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
