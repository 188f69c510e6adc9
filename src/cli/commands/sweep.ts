import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import { COMPAT_SWITCHES, type CompatSwitch, compatSite, parseCompat } from '../../notice/compat.ts';
import {
  planSweep,
  REPEATED_CELLS,
  type SweepJob,
  type SweepMode,
  type SweepPlan,
  type SweepResult,
  sweep,
} from '../../patching/index.ts';
import { addModelOptions, list, type ModelOptions, positions, withModel } from '../options.ts';
import { formatPlan } from '../plan.ts';
import { progressBar } from '../progress.ts';
import { checkOutput, integersIn, readInputs, samplesFrom, writeTensors } from '../tensors.ts';

interface SweepCommandOptions extends ModelOptions {
  readonly inputs: string;
  readonly out?: string;
  readonly sites: string[];
  readonly heads?: boolean;
  readonly positions: number[] | 'all';
  readonly mode: SweepMode;
  readonly compat: string[];
  readonly plan?: boolean;
}

export function sweepCommand(program: Command): void {
  const command = program
    .command('sweep')
    .description("Activation patching: the corrupt run with one of the clean run's activations at a time.");
  addModelOptions(command)
    .requiredOption(
      '--inputs <file>',
      'safetensors with clean/ and corrupt/ pixel_values and input_ids, and answer_ids [2]',
    )
    .option('--out <file>', 'safetensors file to write')
    .requiredOption(
      '--sites <list>',
      'hook names without the block, for example text_encoder.cross_attn.hook_z',
      list,
    )
    .option('--heads', 'patch each head by itself')
    .option('--positions <list>', 'all, or positions from 0', positions, 'all')
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
  const compat = parseCompat(options.compat);
  if (out) await checkOutput(out);
  await withModel(options, async ({ model }) => {
    const job = await readJob(model, options, compat);
    const plan = await planSweep(model, [job]);
    if (options.plan) {
      console.log(formatPlan(plan, await measureMatmulRate(model.gpu)));
      return;
    }
    const result = await sweepWithBar(model, job, options.mode, plan);
    if (out) await writeSweep(out, options.sites, result);
  });
}

/** The tensors of `--inputs` as a pair, its sites as the options say. */
async function readJob(
  model: VisionLanguageModel,
  options: SweepCommandOptions,
  compat: readonly CompatSwitch[],
): Promise<SweepJob> {
  const tensors = await readInputs(options.inputs);
  const sampleOf = (side: string) => {
    const { samples } = samplesFrom(tensors, options.inputs, `${side}/`, (...prompt) =>
      model.expand(...prompt),
    );
    const [sample] = samples;
    if (!sample || samples.length > 1)
      throw new NoticeError(
        'shape',
        `${options.inputs}: "${side}/" holds ${samples.length} prompts, a sweep takes one`,
      );
    return sample;
  };
  const clean = sampleOf('clean');
  const corrupt = sampleOf('corrupt');
  const samePixels = clean.images.every(({ data }, i) =>
    data.every((value, at) => value === corrupt.images[i]?.data[at]),
  );
  const [correct, incorrect] = integersIn(tensors, options.inputs, 'answer_ids', 2) as [number, number];
  return {
    clean,
    corrupt: samePixels ? { ...corrupt, images: clean.images } : corrupt,
    correct,
    incorrect,
    sites: options.sites.map((name) => {
      const site = {
        site: name,
        ...(options.heads ? { heads: true } : {}),
        ...(options.positions === 'all' ? {} : { positions: options.positions }),
      };
      return compatSite(model, site, compat);
    }),
  };
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
