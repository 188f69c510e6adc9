import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import type { ImageInput, Sample, VisionLanguageModel } from '../../models/index.ts';
import { type ActivationCache, runWithCache } from '../../patching/index.ts';
import { readImage } from '../../platform/node/images.ts';
import { addModelOptions, imageBackendOption, list, type ModelOptions, withModel } from '../options.ts';
import { padPositions } from '../padding.ts';
import { checkOutput, readInputs, samplesFrom, type TensorOutput, writeTensors } from '../tensors.ts';

interface TraceOptions extends ModelOptions {
  readonly inputs?: string;
  readonly image?: string;
  readonly prompt?: string;
  readonly out: string;
  readonly names?: string[];
}

/** Names that are inputs, not hook points; they can be asked for beside these. */
const INPUT_NAMES = ['pixel_values', 'input_ids'];

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
        'safetensors with pixel_values, input_ids and optional attention_mask',
      ).conflicts(['image', 'prompt']),
    )
    .option('--image <file>', 'a picture, in place of --inputs')
    .option('--prompt <text>', 'the question for --image')
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .requiredOption('--out <file>', 'safetensors file to write')
    .option('--names <globs>', 'which hook points, comma-separated globs (default all)', list)
    .action((options: TraceOptions) => trace(options));
}

async function trace(options: TraceOptions): Promise<void> {
  if (!options.inputs && !(options.image && options.prompt))
    throw new NoticeError('usage', 'trace needs --inputs, or --image and --prompt');
  await checkOutput(options.out);
  await withModel(options, async ({ model, processor }) => {
    let samples: Sample[];
    let padded: number | undefined;
    if (options.inputs) {
      const found = samplesFrom(await readInputs(options.inputs), options.inputs, '', (...prompt) =>
        model.expand(...prompt),
      );
      samples = found.samples;
      if (samples.some(({ places }) => places)) padded = found.length;
    } else {
      const { image = '', prompt = '' } = options;
      samples = [(await processor()).sample(await readImage(image), prompt, image)];
    }
    const wanted = options.names?.filter((name) => !INPUT_NAMES.includes(name));
    const names = wanted?.filter((name) => name !== 'logits');
    const { logits, cache } = await runWithCache(model, samples, {
      names: wanted ? (names?.length ? names : () => false) : (name) => name !== 'logits',
    });
    const entries: TensorOutput[] = [...cacheEntries(model, cache, samples, padded)];
    if (logits && (!wanted || wanted.includes('logits') || wanted.length > 0))
      entries.push({ name: 'logits', shape: [samples.length, model.vocabulary], data: () => joined(logits) });
    for (const name of options.names ?? []) {
      if (name === 'pixel_values') entries.push(pixelValues(samples));
      if (name === 'input_ids') entries.push(inputIds(samples));
    }
    await writeTensors(options.out, entries);
    cache.release();
    console.log(`${entries.length} tensors → ${options.out}`);
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

function pixelValues(samples: readonly Sample[]): TensorOutput {
  const images = samples.flatMap((sample) => sample.images);
  const { height, width } = images[0] as ImageInput;
  return {
    name: 'pixel_values',
    shape: [images.length, 3, height, width],
    data: () => joined(images.map(({ data }) => data)),
  };
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

function joined(rows: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    out.set(row, at);
    at += row.length;
  }
  return out;
}
