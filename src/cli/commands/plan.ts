import type { Command } from 'commander';
import type { Gpu } from '../../gpu/index.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import { weightPlans, withPlannedModel } from '../../models/index.ts';
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
  await withSource(options, (found) => printPlanOf(found, options), anySource);
}

async function printPlanOf(
  { name, gpu, source }: OpenSource & { readonly gpu: Gpu },
  options: PlanCommandOptions,
): Promise<void> {
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
