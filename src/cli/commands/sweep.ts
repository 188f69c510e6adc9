import { type Command, Option } from 'commander';
import { NoticeError } from '../../errors.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import { featurePlaces, tileCount, type VisionLanguageModel } from '../../models/index.ts';
import { COMPAT_SWITCHES, compatSite, parseCompat } from '../../notice/compat.ts';
import { paperConventions } from '../../notice/conventions.ts';
import {
  attributionPatching,
  type EstimateResult,
  type PatchPair,
  planSweep,
  REPEATED_CELLS,
  type SweepJob,
  type SweepMode,
  type SweepPlan,
  type SweepResult,
  type SweepSite,
  sweep,
} from '../../patching/index.ts';
import { asSweep, ESTIMATE, verificationLines } from '../estimate-output.ts';
import {
  addModelOptions,
  collect,
  integer,
  list,
  type ModelOptions,
  type Place,
  positions,
  withModel,
} from '../options.ts';
import { formatPlan } from '../plan.ts';
import { progressBar } from '../progress.ts';
import { formatOf } from '../result-file.ts';
import {
  cellCount,
  controlLines,
  largestEffects,
  positionLabels,
  sweepTables,
  writeSweep,
} from '../sweep-output.ts';
import { addPairOptions, checkPairOptions, type PairOptions, readPair } from '../sweep-pair.ts';
import { checkOutput } from '../tensors.ts';

interface SweepCommandOptions extends ModelOptions, PairOptions {
  readonly out?: string[];
  readonly sites?: string[];
  readonly heads?: boolean;
  readonly positions: Place[] | 'all';
  readonly mode: SweepMode;
  readonly compat: string[];
  readonly plan?: boolean;
  readonly estimate?: boolean;
  readonly integrated?: number;
  readonly verify?: number;
}

export function sweepCommand(program: Command): void {
  const command = program
    .command('sweep')
    .description("Activation patching: the corrupt run with one of the clean run's activations at a time.");
  addPairOptions(addModelOptions(command))
    .option(
      '--out <file>',
      'file to write, again for more: .safetensors, .parquet, .csv, .png, .svg',
      collect,
    )
    .option(
      '--sites <list>',
      "hook names without the block (default the paper's: attentions and MLP of the tower that reads the question; with --heads the attention that sees the image)",
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
    .addOption(
      new Option(
        '--estimate',
        'attribution patching: estimate all effects from one gradient of the logit difference, patch nothing',
      ).conflicts(['plan']),
    )
    .option(
      '--integrated <n>',
      'with --estimate: the gradient averaged over n points between corrupt and clean value of each block',
      integer,
    )
    .option(
      '--verify <k>',
      'with --estimate: measure the k largest and as many others, and say how far off they are',
      integer,
    )
    .option('--plan', 'print rows, FLOPs and memory of the sweep and stop')
    .addHelpText(
      'after',
      '\nExample:\n  notice sweep --model weights/blip-shapes --clean data/scenes/002_clean.png --corrupt data/scenes/002_corrupt.png \\\n' +
        '    --prompt "is the triangle inside the heart or ring?" --correct heart --incorrect ring --out map.png',
    )
    .action((options: SweepCommandOptions) => runSweep(options));
}

async function runSweep(options: SweepCommandOptions): Promise<void> {
  const { out = [] } = options;
  checkPairOptions(options);
  const { estimate = false, integrated, verify } = options;
  if (!estimate && (integrated !== undefined || verify !== undefined))
    throw new NoticeError('usage', '--integrated and --verify go with --estimate');
  const compat = parseCompat(options.compat);
  for (const file of out) {
    formatOf(file);
    await checkOutput(file);
  }
  await withModel(options, async ({ model, processor }) => {
    const { moduleSites, headSite } = paperConventions(model);
    const names = options.sites ?? (options.heads ? [headSite] : moduleSites);
    const { pair, tokens } = await readPair(model, processor, options);
    const sites = names.map((site) =>
      compatSite(model, { site, ...patchedAt(model, pair, site, options) }, compat),
    );
    const job: SweepJob = { ...pair, sites };
    const labels = positionLabels(model, pair.clean, tokens);
    if (estimate) {
      const [found] = await attributionPatching(model, [job], {
        ...(integrated !== undefined && { integrated }),
        ...(verify !== undefined && { verify }),
      });
      const result = asSweep(found as EstimateResult);
      for (const text of sweepTables(result, labels, ESTIMATE)) console.log(`${text}\n`);
      for (const line of verificationLines(found as EstimateResult)) console.log(line);
      for (const file of out) {
        await writeSweep(file, names, result, labels, ESTIMATE);
        console.log(`estimates of ${cellCount(result)} patches → ${file}`);
      }
      return;
    }
    const plan = await planSweep(model, [job]);
    if (options.plan) {
      console.log(formatPlan(plan, await measureMatmulRate(model.gpu)));
      return;
    }
    const result = await sweepWithBar(model, job, options.mode, plan);
    for (const text of sweepTables(result, labels)) console.log(`${text}\n`);
    for (const line of largestEffects(model, result, featurePlaces(model, pair.clean))) console.log(line);
    for (const line of controlLines(result)) console.log(line);
    for (const file of out) {
      await writeSweep(file, names, result, labels);
      console.log(
        `${cellCount(result)} patches at ${names.length} site${names.length === 1 ? '' : 's'} → ${file}`,
      );
    }
  });
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
