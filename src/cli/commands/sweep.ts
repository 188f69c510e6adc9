import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import { answerTokenIds } from '../../inputs/index.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import {
  type FeaturePlace,
  featurePlaces,
  type ImageInput,
  type Processor,
  placeName,
  tileCount,
  type VisionLanguageModel,
} from '../../models/index.ts';
import { COMPAT_SWITCHES, compatSite, parseCompat } from '../../notice/compat.ts';
import {
  type PatchPair,
  planSweep,
  REPEATED_CELLS,
  type SweepJob,
  type SweepMode,
  type SweepPlan,
  type SweepResult,
  type SweepSite,
  sweep,
  towerOf,
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
import { formatPlan } from '../plan.ts';
import { progressBar } from '../progress.ts';
import { checkOutput, integersIn, readInputs, samplesFrom, writeTensors } from '../tensors.ts';

interface SweepCommandOptions extends ModelOptions {
  readonly inputs?: string;
  readonly image?: string[];
  readonly prompt?: string;
  readonly corruptImage?: string[];
  readonly corruptPrompt?: string;
  readonly answers?: string[];
  readonly out?: string;
  readonly sites: string[];
  readonly heads?: boolean;
  readonly positions: Place[] | 'all';
  readonly mode: SweepMode;
  readonly compat: string[];
  readonly plan?: boolean;
}

export function sweepCommand(program: Command): void {
  const command = program
    .command('sweep')
    .description("Activation patching: the corrupt run with one of the clean run's activations at a time.");
  addModelOptions(command)
    .addOption(
      new Option(
        '--inputs <file>',
        'safetensors with clean/ and corrupt/ input_ids, pixel_values and what the model reads beside them, and answer_ids [2] (or --answers)',
      ).conflicts(['image', 'prompt']),
    )
    .option('--image <file>', 'a picture, in place of --inputs; again for more', collect)
    .option('--prompt <text>', 'the question for --image')
    .option(
      '--corrupt-image <file>',
      'the picture of the corrupt run; again for more (default --image)',
      collect,
    )
    .option('--corrupt-prompt <text>', 'the question of the corrupt run (default --prompt)')
    .option('--answers <list>', 'the correct and the incorrect answer', list)
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .option('--out <file>', 'safetensors file to write')
    .requiredOption(
      '--sites <list>',
      'hook names without the block, for example text_encoder.cross_attn.hook_z',
      list,
    )
    .option('--heads', 'patch each head by itself')
    .option('--positions <list>', 'all, or positions from 0; 2:8 for position 8 of tile 2', positions, 'all')
    .addOption(
      new Option('--mode <mode>', 'all patches in one walk, or a full forward pass for each')
        .choices(['wavefront', 'one-by-one'])
        .default('wavefront'),
    )
    .option(
      '--compat <list>',
      `do as the paper's released code: ${COMPAT_SWITCHES.join(', ')}, all`,
      list,
      [],
    )
    .option('--plan', 'print rows, FLOPs and memory of the sweep and stop')
    .action((options: SweepCommandOptions) => runSweep(options));
}

async function runSweep(options: SweepCommandOptions): Promise<void> {
  const { out } = options;
  if (!out && !options.plan) throw new NoticeError('usage', 'sweep needs --out (or --plan)');
  const { answers } = options;
  if (answers ? answers.length !== 2 : !options.inputs)
    throw new NoticeError('usage', 'sweep needs --answers with the correct one and the incorrect one');
  if (!options.inputs && !(options.image && options.prompt))
    throw new NoticeError('usage', 'sweep needs --inputs, or --image and --prompt');
  const compat = parseCompat(options.compat);
  if (out) await checkOutput(out);
  await withModel(options, async ({ model, processor }) => {
    const pair = options.inputs
      ? await pairOfFile(model, options.inputs, answers && answerIds(await processor(), answers))
      : await pairOfPictures(await processor(), options);
    const sites = options.sites.map((site) =>
      compatSite(model, { site, ...patchedAt(model, pair, site, options) }, compat),
    );
    const job: SweepJob = { ...pair, sites };
    const plan = await planSweep(model, [job]);
    if (options.plan) {
      console.log(formatPlan(plan, await measureMatmulRate(model.gpu)));
      return;
    }
    const result = await sweepWithBar(model, job, options.mode, plan);
    if (!out) return;
    await writeSweep(out, options.sites, result);
    const places = featurePlaces(model, pair.clean);
    for (const line of largestEffects(model, result, places)) console.log(line);
  });
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
async function pairOfPictures(processor: Processor, options: SweepCommandOptions): Promise<PatchPair> {
  const { image = [], prompt = '', corruptImage, corruptPrompt = prompt, answers = [] } = options;
  const clean = await readSample(processor, image, prompt);
  const corrupt = corruptImage
    ? await readSample(processor, corruptImage, corruptPrompt)
    : processor.sample(clean.images, corruptPrompt, image);
  const [correct, incorrect] = answerIds(processor, answers);
  return { clean, corrupt, correct, incorrect };
}

function answerIds(processor: Processor, [correct = '', incorrect = '']: readonly string[]) {
  const after = processor.answerContext;
  return answerTokenIds(processor.tokenizer, { correct, incorrect }, { after });
}

/** Heads and positions of a site as the options say. */
function patchedAt(
  model: VisionLanguageModel,
  { clean }: PatchPair,
  site: string,
  { heads, positions: places }: SweepCommandOptions,
): Partial<SweepSite> {
  const tile =
    model.imagePositions(clean.images) / clean.images.reduce((n, image) => n + tileCount(image), 0);
  const positions =
    places !== 'all' &&
    places.map(({ tile: of, position }) => {
      if (of === undefined) return position;
      if (!model.imageEmbedding.startsWith(`${site.split('.')[0]}.`) || position >= tile)
        throw new NoticeError('usage', `${site} has no position ${position} in a tile ${of}`);
      return of * tile + position;
    });
  return { ...(heads ? { heads } : {}), ...(positions ? { positions } : {}) };
}

/** Writes the result's tensors, and says on the terminal what they are. */
async function writeSweep(
  out: string,
  names: readonly string[],
  { sites, logits, controls }: SweepResult,
): Promise<void> {
  await writeTensors(out, [
    ...sites.map(({ shape, data }, i) => ({ name: `sweep/${names[i]}`, shape, data: () => data })),
    { name: 'logits/clean', shape: [logits.clean.length], data: () => logits.clean },
    { name: 'logits/corrupt', shape: [logits.corrupt.length], data: () => logits.corrupt },
  ]);
  const cells = sites.reduce((sum, { data }) => sum + data.length / 4, 0);
  console.log(`${cells} patches at ${sites.length} site${sites.length === 1 ? '' : 's'} → ${out}`);
  if (controls)
    console.log(
      `controls: ${controls.nullPatches} null patches exactly 0, full restoration exact, ` +
        `rounding moves the logit difference by ${controls.noiseFloor.toExponential(1)}`,
    );
}

/** Where the largest effect of each site is that is at a feature of an image. */
function largestEffects(
  model: VisionLanguageModel,
  { sites }: SweepResult,
  places: ReadonlyMap<number, FeaturePlace>,
): string[] {
  return sites.flatMap(({ site, layers, heads, positions, data }) => {
    let best = 0;
    for (let i = 0; 4 * i < data.length; i++)
      if (Math.abs(data[4 * i + 2] as number) > Math.abs(data[4 * best + 2] as number)) best = i;
    const [position] = positions[best % positions.length] as readonly number[];
    const place = towerOf(site) === model.promptTower && places.get(position as number);
    if (!place) return [];
    const row = Math.floor(best / positions.length);
    const at = heads === undefined ? layers[row] : `${layers[Math.floor(row / heads)]}, head ${row % heads}`;
    const effect = (data[4 * best + 2] as number).toPrecision(3);
    return [`${site}: largest effect on the logit difference ${effect}, block ${at}, ${placeName(place)}`];
  });
}

/** A sweep whose progress is counted in operations: a patch of a low layer costs many times one of a high layer. */
async function sweepWithBar(
  model: VisionLanguageModel,
  job: SweepJob,
  mode: SweepMode,
  { cells, flops, oneByOneFlops }: SweepPlan,
): Promise<SweepResult> {
  // A wavefront repeats some cells by themselves.
  const repeated = Math.min(REPEATED_CELLS, cells) / cells;
  const total = mode === 'one-by-one' ? oneByOneFlops : flops + repeated * oneByOneFlops;
  const bar = progressBar('GFLOP');
  let done = 0;
  model.gpu.onWork((more) => {
    done = Math.min(total, done + more);
    bar.update(Math.round(done / 1e9), Math.round(total / 1e9));
  });
  try {
    const [result] = await sweep(model, [job], { mode });
    return result as SweepResult;
  } finally {
    model.gpu.onWork(undefined);
    bar.stop();
  }
}
