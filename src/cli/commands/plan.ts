import type { Command } from 'commander';
import type { Gpu } from '../../gpu/index.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import { loadInpainting, weightPlans, withPlannedModel } from '../../models/index.ts';
import { DEFAULT_PROMPT_TOKENS, paperSweeps } from '../../notice/paper-sweeps.ts';
import { planSweep } from '../../patching/index.ts';
import {
  addModelOptions,
  anySource,
  type ModelOptions,
  type OpenSource,
  positiveInteger,
  withSource,
} from '../options.ts';
import { amount, bytes, duration } from '../plan.ts';
import { terminalTable } from '../table.ts';

interface PlanCommandOptions extends ModelOptions {
  readonly samples: number;
  readonly promptTokens: number;
  readonly rate?: number;
  readonly inpaint?: boolean;
  readonly steps: number;
  readonly height?: number;
  readonly width?: number;
  readonly variant?: string;
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
    .option('--inpaint', 'of a picture painted with an inpainting model, guided')
    .option('--steps <n>', 'of --inpaint', positiveInteger, 120)
    .option('--height <pixels>', "of --inpaint (default the model's)", positiveInteger)
    .option('--width <pixels>', "of --inpaint (default the model's)", positiveInteger)
    .option('--variant <name>', 'of --inpaint: which of several files of weights, fp16')
    .addHelpText(
      'after',
      '\nExamples:\n  notice plan --model Salesforce/blip-vqa-base --samples 500 --rate 4000\n' +
        '  notice plan --inpaint --model sd2-community/stable-diffusion-2-inpainting --variant fp16 --rate 10000',
    )
    .action((options: PlanCommandOptions) => printPlan(options));
}

async function printPlan(options: PlanCommandOptions): Promise<void> {
  const print = options.inpaint ? printInpaintPlan : printPlanOf;
  await withSource(options, (found) => print(found, options), anySource);
}

async function printPlanOf(
  { name, gpu, source }: OpenSource & { readonly gpu: Gpu },
  options: PlanCommandOptions,
): Promise<void> {
  const { samples, promptTokens, dtype } = options;
  const weights = await weightPlans(gpu, source);
  const { flops: rate, measured } = await rateOf(gpu, options);
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
    for (const { jobs, ...labels } of paperSweeps(model, promptTokens))
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
}

/** FLOP/s of matrix products, and where the number is from. */
async function rateOf(gpu: Gpu, { rate }: PlanCommandOptions): Promise<{ flops: number; measured: string }> {
  return rate
    ? { flops: 1e9 * rate, measured: 'as given' }
    : { flops: await measureMatmulRate(gpu), measured: `measured on ${gpu.capabilities.description}` };
}

/** What a painted picture takes, from the files' headers. */
async function printInpaintPlan(
  { name, gpu, source }: OpenSource & { readonly gpu: Gpu },
  options: PlanCommandOptions,
): Promise<void> {
  const { steps, dtype, variant } = options;
  const model = await loadInpainting(gpu, source, {
    planOnly: true,
    ...(dtype && { type: dtype }),
    ...(variant && { variant }),
  });
  const { height = model.imageSize, width = model.imageSize } = options;
  const { text, encode, step, decode } = await model.estimate({ width, height }, 2);
  const { flops: rate, measured } = await rateOf(gpu, options);
  console.log(`${name}\n`);
  console.log(
    terminalTable(model.weightPlans, [
      { name: 'weights of', value: ({ part }) => part },
      { name: 'memory', value: ({ plan }) => bytes(plan.bytes) },
      { name: 'largest buffer', value: ({ plan }) => bytes(plan.largest.bytes) },
    ]),
  );
  const phases = [
    { phase: 'prompts', times: 1, cost: text },
    { phase: 'picture to latents', times: 1, cost: encode },
    { phase: 'steps', times: steps, cost: step },
    { phase: 'latents to picture', times: 1, cost: decode },
  ];
  console.log(
    `\nA picture of ${width} × ${height} in ${steps} steps, at ${amount(rate)}FLOP/s (${measured}; few rows are slower):\n`,
  );
  console.log(
    terminalTable(phases, [
      { name: 'part', value: ({ phase }) => phase },
      { name: 'times', value: ({ times }) => String(times) },
      { name: 'operations', value: ({ times, cost }) => `${amount(times * cost.flops)}FLOP` },
      { name: 'time', value: ({ times, cost }) => duration((times * cost.flops) / rate) },
      { name: 'activations', value: ({ cost }) => bytes(cost.peakBytes) },
      { name: 'largest buffer', value: ({ cost }) => bytes(cost.largestBytes) },
    ]),
  );
  const all = phases.reduce((sum, { times, cost }) => sum + times * cost.flops, 0);
  const limit = gpu.capabilities.limits.maxStorageBufferBindingSize;
  const largest = Math.max(...phases.map(({ cost }) => cost.largestBytes));
  console.log(`\n${amount(all)}FLOP, about ${duration(all / rate)}; ${bytes(model.weightBytes)} of weights`);
  if (largest > limit)
    console.log(`a buffer of ${bytes(largest)} is larger than what this device binds, ${bytes(limit)}`);
  model.destroy();
}
