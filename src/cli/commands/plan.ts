import type { Command } from 'commander';
import type { Corruption } from '../../analysis/cell.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import { type Sample, type VisionLanguageModel, weightPlans, withPlannedModel } from '../../models/index.ts';
import { paperConventions } from '../../notice/conventions.ts';
import { planSweep, type SweepJob, type SweepSite } from '../../patching/index.ts';
import { addModelOptions, anySource, type ModelOptions, positiveInteger, withSource } from '../options.ts';
import { amount, bytes, duration } from '../plan.ts';
import { terminalTable } from '../table.ts';

const DEFAULT_PROMPT_TOKENS = 16;
/** The row of all sweeps of a pair. */
const TOGETHER = 'all together';

interface PlanCommandOptions extends ModelOptions {
  readonly samples: number;
  readonly promptTokens: number;
  readonly rate?: number;
}

export function planCommand(program: Command): void {
  const command = program
    .command('plan')
    .description(
      "What the paper's experiment takes with a model: memory, operations and time. Only the files' headers are read, of a model of the hub where they lie, so it need not fit or be pulled.",
    );
  addModelOptions(command)
    .option('--samples <n>', 'pairs of images', positiveInteger, 500)
    .option(
      '--prompt-tokens <n>',
      'tokens of the question, all of which are patched',
      positiveInteger,
      DEFAULT_PROMPT_TOKENS,
    )
    .option('--rate <GFLOP/s>', 'of matrix products; default measured on the adapter', positiveInteger)
    .addHelpText(
      'after',
      '\nExample:\n  notice plan --model Salesforce/blip-vqa-base --samples 500 --rate 4000',
    )
    .action((options: PlanCommandOptions) => printPlan(options));
}

async function printPlan(options: PlanCommandOptions): Promise<void> {
  await withSource(
    options,
    async ({ name, gpu, source }) => {
      const { samples, promptTokens, dtype } = options;
      const weights = await weightPlans(gpu, source);
      const { flops: rate, measured } = options.rate
        ? { flops: 1e9 * options.rate, measured: 'as given' }
        : { flops: await measureMatmulRate(gpu), measured: `measured on ${gpu.capabilities.description}` };
      console.log(`${name}\n`);
      console.log(
        terminalTable(weights, [
          { name: 'weights as', value: ({ dtype: type }) => type ?? 'in the file' },
          { name: 'memory', value: ({ plan }) => bytes(plan.bytes) },
          { name: 'largest buffer', value: ({ plan }) => bytes(plan.largest.bytes) },
        ]),
      );
      await withPlannedModel(gpu, source, dtype ? { dtype } : {}, async (model) => {
        const rows = [];
        for (const { jobs, ...labels } of experiment(model, promptTokens))
          rows.push({ ...labels, plan: await planSweep(model, jobs) });
        console.log(
          `\n${samples} pairs, ${promptTokens} tokens in the question, at ${amount(rate)}FLOP/s (${measured}; few rows are slower):\n`,
        );
        type Row = (typeof rows)[number];
        const work = (name: string, key: 'flops' | 'oneByOneFlops') => [
          { name, value: ({ plan }: Row) => `${amount(samples * plan[key])}FLOP` },
          { name: 'time', value: ({ plan }: Row) => duration((samples * plan[key]) / rate) },
        ];
        console.log(
          terminalTable(rows, [
            { name: 'corruption', value: ({ corruption }) => corruption },
            { name: 'patched', value: ({ part }) => part },
            { name: 'patches', value: ({ plan }) => String(samples * plan.cells) },
            ...work('wavefront', 'flops'),
            ...work('one by one', 'oneByOneFlops'),
            { name: 'times', value: ({ plan }) => `${(plan.oneByOneFlops / plan.flops).toFixed(0)}` },
            { name: 'activations', value: ({ plan }) => bytes(plan.peakBytes) },
          ]),
        );
      });
    },
    anySource,
  );
}

/** Operations of one pair in an experiment: the sweeps of each corruption, of noise as many as draws. */
export async function pairOperations(
  model: VisionLanguageModel,
  corruptions: readonly Corruption[],
  noiseDraws: number,
  promptTokens = DEFAULT_PROMPT_TOKENS,
): Promise<number> {
  const [image, text] = experiment(model, promptTokens).flatMap(({ part, jobs }) =>
    part === TOGETHER ? jobs : [],
  ) as [SweepJob, SweepJob];
  const jobs = corruptions.flatMap((corruption) =>
    corruption === 'noise'
      ? new Array<SweepJob>(noiseDraws).fill(image)
      : [corruption === 'str' ? text : image],
  );
  return (await planSweep(model, jobs)).flops;
}

/**
 * The paper's sweeps of one pair: modules at every token of the question, and every head where the answer is decided. Then
 * all of them together, as an experiment runs them: they share the clean run.
 */
function experiment(model: VisionLanguageModel, promptTokens: number) {
  const { clean, image, text, question } = samplePair(model, promptTokens);
  const { moduleSites, headSite, headPositions } = paperConventions(model);
  const option = question[question.length >> 1] as number;
  const headPosition = headPositions.includes('last') ? clean.ids.length - 1 : option;
  const modules: SweepSite[] = moduleSites.map((site) => ({ site, positions: question }));
  const heads: SweepSite[] = [{ site: headSite, heads: true, positions: [headPosition] }];
  const job = (corrupt: Sample, sites: SweepSite[]): SweepJob => ({
    clean,
    corrupt,
    correct: 0,
    incorrect: 1,
    sites,
  });
  const all = [...modules, ...heads];
  return [
    { corruption: 'image', part: 'modules × tokens', jobs: [job(image, modules)] },
    { corruption: 'image', part: 'heads', jobs: [job(image, heads)] },
    { corruption: 'text', part: 'modules × tokens', jobs: [job(text, modules)] },
    { corruption: 'text', part: 'heads', jobs: [job(text, heads)] },
    { corruption: 'both', part: TOGETHER, jobs: [job(image, all), job(text, all)] },
  ];
}

/** A pair of the model's sizes; its values are of no account, since nothing is computed. */
function samplePair(model: VisionLanguageModel, promptTokens: number) {
  const images = [model.blankImage()];
  const words = Array.from({ length: promptTokens }, (_, i) => 2 + (i % 2));
  const { imageToken } = model;
  const features = model.featureCount(model.blankImage());
  const image = imageToken === undefined ? [] : [2, ...new Array<number>(features).fill(imageToken)];
  const expanded = model.expand([...image, ...words], images);
  const first = expanded.ids.length - promptTokens;
  const clean = { images, ids: expanded.ids, instruction: words };
  // The options stand in the middle of a question.
  const at = first + (promptTokens >> 1);
  return {
    clean,
    image: { ...clean, images: [model.blankImage()] },
    text: {
      ...clean,
      ids: clean.ids.map((id, i) => (i === at ? 4 : id)),
      instruction: words.map((id, i) => (i === at - first ? 4 : id)),
    },
    question: Array.from({ length: promptTokens }, (_, i) => first + i),
  };
}
