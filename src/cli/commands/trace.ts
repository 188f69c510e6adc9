import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import type { OutputTensor, Sample, VisionLanguageModel } from '../../models/index.ts';
import {
  type ActivationCache,
  logitDifference,
  runWithCache,
  runWithGradients,
} from '../../patching/index.ts';
import {
  addModelOptions,
  collect,
  imageBackendOption,
  list,
  type ModelOptions,
  type Place,
  positions,
  readSample,
  withModel,
} from '../options.ts';
import { padPositions } from '../padding.ts';
import { readAnswers } from '../sweep-pair.ts';
import {
  checkOutput,
  readInputs,
  samplesFrom,
  type TensorOutput,
  tensorsBeside,
  writeTensors,
} from '../tensors.ts';

interface TraceOptions extends ModelOptions {
  readonly inputs?: string;
  readonly image?: string[];
  readonly prompt?: string;
  readonly out: string;
  readonly names?: string[];
  readonly queries?: Place[] | 'all';
  readonly side?: 'clean' | 'corrupt';
  readonly gradients?: boolean;
  readonly correct?: string;
  readonly incorrect?: string;
}

export function traceCommand(program: Command): void {
  const command = program
    .command('trace')
    .description(
      'One forward pass; writes activations and logits, f32, batch first, under their hook names.',
    );
  addModelOptions(command)
    .addOption(
      new Option(
        '--inputs <file>',
        'safetensors with input_ids, pixel_values and what the model reads beside them, optional attention_mask',
      ).conflicts(['image', 'prompt']),
    )
    .option('--image <file>', 'a picture, in place of --inputs; again for more', collect)
    .option('--prompt <text>', 'the question for --image')
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .requiredOption('--out <file>', 'safetensors file to write')
    .option(
      '--names <globs>',
      'which hook points, comma-separated globs (default all); pixel_values,input_ids: what sweep --inputs reads',
      list,
    )
    .option(
      '--queries <list>',
      'of scores and patterns the rows of these positions only (default all): whole ones of long prompts may not fit',
      positions,
    )
    .addOption(
      new Option(
        '--side <side>',
        'write the names with clean/ or corrupt/ before them, and leave what --out already holds of the other side: two traces make a pair for sweep --inputs',
      ).choices(['clean', 'corrupt']),
    )
    .addOption(
      new Option(
        '--gradients',
        'add grad/<hook> and grad/pixel_values: the gradient of the logit difference of two answers, --correct and --incorrect or answer_ids [2] of --inputs',
      ).conflicts(['queries']),
    )
    .option('--correct <word>', 'with --gradients: the answer')
    .option('--incorrect <word>', 'with --gradients: the answer that it is compared with')
    .addHelpText(
      'after',
      "\nExample:\n  notice trace --model blip-shapes --image clean.png --prompt 'is it a heart or ring?' --names '*.hook_pattern' --out trace.safetensors",
    )
    .action((options: TraceOptions) => trace(options));
}

async function trace(options: TraceOptions): Promise<void> {
  if (!options.inputs && !(options.image && options.prompt))
    throw new NoticeError('usage', 'trace needs --inputs, or --image and --prompt');
  if (options.gradients) checkAnswers(options);
  await checkOutput(options.out);
  await withModel(options, async ({ model, processor }) => {
    let samples: Sample[];
    let padded: number | undefined;
    if (options.inputs) {
      const found = samplesFrom(await readInputs(options.inputs), options.inputs, '', model);
      samples = found.samples;
      if (samples.some(({ places }) => places)) padded = found.length;
    } else {
      const { image = [], prompt = '' } = options;
      samples = [await readSample(await processor(), image, prompt)];
    }
    const queries = queriesOf(options, padded !== undefined);
    const wanted = options.names?.filter((name) => !['input_ids', ...model.tensors.names].includes(name));
    const names = wanted?.filter((name) => name !== 'logits');
    const filter = wanted ? (names?.length ? names : () => false) : (name: string) => name !== 'logits';
    const found = options.gradients
      ? await runWithGradients(model, samples, {
          metric: logitDifference(...(await readAnswers(processor, options))),
          names: filter,
          pixels: true,
        })
      : {
          gradients: undefined,
          ...(await runWithCache(model, samples, { names: filter, ...(queries && { queries }) })),
        };
    const { logits, cache, gradients } = found;
    const entries: TensorOutput[] = [...cacheEntries(model, cache, samples, padded)];
    if (gradients) {
      const own = cacheEntries(model, gradients, samples, padded);
      const pixels = pixelEntries(model, samples, found.pixels ?? []);
      entries.push(...[...own, ...pixels].map((entry) => ({ ...entry, name: `grad/${entry.name}` })));
    }
    if (logits && (!wanted || wanted.includes('logits') || wanted.length > 0))
      entries.push({
        name: 'logits',
        shape: [samples.length, model.vocabulary],
        data: () => Float32Array.from(logits.flatMap((row) => [...row])),
      });
    entries.push(...inputEntries(model, samples, options.names ?? []));
    await writeSide(options, entries);
    cache.release();
    gradients?.release();
    console.log(`${entries.length} tensors → ${options.out}`);
  });
}

/** @throws NoticeError('usage') */
function checkAnswers({ inputs, correct, incorrect }: TraceOptions): void {
  if ((correct === undefined) !== (incorrect === undefined) || (!inputs && correct === undefined))
    throw new NoticeError(
      'usage',
      '--gradients needs --correct and --incorrect, or --inputs with answer_ids',
    );
}

/** Gradients of pixel values, laid out as the pixel values are in files. */
function pixelEntries(
  { tensors }: VisionLanguageModel,
  samples: readonly Sample[],
  gradients: readonly (readonly Float32Array[])[],
): TensorOutput[] {
  const slopes = samples.map((sample, i) => ({
    ...sample,
    images: sample.images.map((image, j) => ({ ...image, data: gradients[i]?.[j] ?? image.data })),
  }));
  const [pixels] = tensors.names;
  return tensors
    .write(slopes)
    .filter(({ name }) => name === pixels)
    .map(({ data, ...tensor }) => ({ ...tensor, data: () => data }));
}

/** Writes the tensors, those of a side of a pair beside what the file has of the other. */
async function writeSide({ out, side }: TraceOptions, entries: readonly TensorOutput[]): Promise<void> {
  if (side === undefined) return writeTensors(out, entries);
  const own = entries.map((entry) => ({ ...entry, name: `${side}/${entry.name}` }));
  await writeTensors(out, [...(await tensorsBeside(out, `${side}/`)), ...own]);
}

/** @throws NoticeError('usage') */
function queriesOf({ queries = 'all' }: TraceOptions, padded: boolean): number[] | undefined {
  if (queries === 'all') return undefined;
  if (padded) throw new NoticeError('usage', '--queries goes with prompts without padding');
  return queries.map(({ tile, position }) => {
    if (tile !== undefined)
      throw new NoticeError(
        'usage',
        `--queries counts positions through all tiles, found ${tile}:${position}`,
      );
    return position;
  });
}

function cacheEntries(
  model: VisionLanguageModel,
  cache: ActivationCache,
  samples: readonly Sample[],
  padded: number | undefined,
): TensorOutput[] {
  return [...cache].map(([name, activation]) => {
    const { shape, arrange } =
      padded === undefined
        ? { shape: activation.shape, arrange: (data: Float32Array) => data }
        : padPositions(model, name, activation.shape, samples, padded);
    return { name, shape, data: async () => arrange(await activation.read()) };
  });
}

/** What of the samples is asked for by name; with `pixel_values` all that belongs to it. */
function inputEntries(
  { tensors }: VisionLanguageModel,
  samples: readonly Sample[],
  names: readonly string[],
): TensorOutput[] {
  const [pixels = ''] = tensors.names;
  const all = names.includes(pixels);
  const beside: OutputTensor[] = tensors.names.some((name) => names.includes(name))
    ? tensors.write(samples).filter(({ name }) => all || names.includes(name))
    : [];
  return [
    ...beside.map(({ data, ...tensor }) => ({ ...tensor, data: () => data })),
    ...(names.includes('input_ids') ? [inputIds(samples)] : []),
  ];
}

/** Token ids as the model's prompt tower sees them, filled up with −1. */
function inputIds(samples: readonly Sample[]): TensorOutput {
  const length = Math.max(...samples.map(({ ids }) => ids.length));
  const data = new Int32Array(samples.length * length).fill(-1);
  samples.forEach(({ ids }, i) => {
    data.set(ids, i * length);
  });
  return { name: 'input_ids', dtype: 'I32', shape: [samples.length, length], data: () => data };
}
