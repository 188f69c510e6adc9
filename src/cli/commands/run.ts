import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import type { Corruption } from '../../analysis/cell.ts';
import type { HeadPosition } from '../../analysis/effects.ts';
import { NoticeError } from '../../errors.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import { parseCompat } from '../../notice/compat.ts';
import { STAGES, type Stage } from '../../notice/experiment/context.ts';
import {
  checkSites,
  defaultSites,
  type ExperimentSettings,
  type ModuleMeasure,
  modelTitle,
} from '../../notice/experiment/settings.ts';
import { addConfigOption } from '../config.ts';
import { type DeviceChoice, deviceChoice } from '../devices.ts';
import { PACKAGE } from '../embedded.ts';
import {
  addModelOptions,
  imageBackendOption,
  integer,
  list,
  type ModelOptions,
  type OpenModel,
  positiveInteger,
  withModel,
} from '../options.ts';
import { duration } from '../plan.ts';
import { Preemption } from '../preemption.ts';
import { progressBar, sayOnInterrupt } from '../progress.ts';

export interface RunCommandOptions extends ModelOptions {
  readonly data: string[];
  readonly out: string;
  readonly samples: number;
  readonly select: 'balanced' | 'first';
  readonly corruptions: Corruption[];
  readonly generated?: string;
  readonly sites?: string[];
  readonly headSite?: string;
  readonly statistic: 'absolute' | 'signed';
  readonly measure: ModuleMeasure;
  readonly compat: string[];
  readonly seed: number;
  readonly noiseDraws: number;
  readonly evaluate: 'needed' | 'all';
  readonly look?: HeadPosition;
  readonly shard?: { index: number; count: number };
  readonly from?: string;
  readonly devices?: DeviceChoice;
  readonly until?: Stage;
}

/** Data sets that the package brings along. */
const EMBEDDED_TASKS = ['scenes', 'states', 'faces'];

const CORRUPTIONS: readonly Corruption[] = ['sip', 'str', 'noise', 'generated'];

export function runCommand(program: Command): void {
  const command = program
    .command('run')
    .description(
      "The paper's experiment: evaluate, select, corrupt, patch, analyse. Continues where it stopped.",
    );
  addRunOptions(command).action(async (options: RunCommandOptions) => {
    const preemption = new Preemption();
    const fromFile = command.getOptionValueSource('devices') === 'config';
    const started = options.devices
      ? runOnDevices(options, options.devices, { fromFile, argv: rawArguments(program), preemption })
      : run(options, preemption);
    await started.finally(() => preemption.stop());
  });
}

/** The command line as commander has it; its types leave that out. */
const rawArguments = (program: Command): readonly string[] =>
  (program as Command & { readonly rawArgs: readonly string[] }).rawArgs;

async function runOnDevices(
  options: RunCommandOptions,
  devices: DeviceChoice,
  { fromFile, argv, preemption }: { fromFile: boolean; argv: readonly string[]; preemption: Preemption },
): Promise<void> {
  if (options.shard || options.until || fromFile)
    throw new NoticeError(
      'usage',
      '--devices is of a machine: it stands on the command line, without --shard and --until',
    );
  const { runOnAll } = await import('../devices.ts');
  await runOnAll(argv, { ...options, devices }, preemption);
}

/** What arguments of `notice run` ask for, of which nothing is done. */
export async function parseRun(args: readonly string[]): Promise<RunCommandOptions> {
  const command = addRunOptions(new Command('run')).exitOverride();
  await command.action(() => {}).parseAsync(args, { from: 'user' });
  return command.opts<RunCommandOptions>();
}

function addRunOptions(command: Command): Command {
  return addConfigOption(addModelOptions(command, { embedded: true }))
    .addOption(
      new Option('--data <files>', 'manifests (CSV), comma-separated, one per task').argParser(list).default(
        EMBEDDED_TASKS.map((name) => `${PACKAGE}data/${name}.csv`),
        `${EMBEDDED_TASKS.join(', ')}, which are embedded`,
      ),
    )
    .option('--out <folder>', 'results folder', 'results')
    .option('--samples <n>', 'samples of each task', positiveInteger, 60)
    .addOption(
      new Option('--select <how>', 'which of the correctly answered pairs')
        .choices(['balanced', 'first'])
        .default('balanced'),
    )
    .option('--corruptions <list>', `which of ${CORRUPTIONS.join(', ')}`, corruptions, ['sip', 'str'])
    .option(
      '--generated <folder>',
      "generated counterpart images, named by a pair's id or by the image they stand for",
    )
    .option('--sites <list>', 'hook names without the block, patched at every token', list)
    .option('--head-site <name>', 'hook name without the block, patched head by head at the answer')
    .addOption(
      new Option('--statistic <kind>', 'how heads are ranked: mean of |LD′ − LD*|, or of its signed value')
        .choices(['absolute', 'signed'])
        .default('absolute'),
    )
    .addOption(measureOption().default('probability'))
    .option('--compat <list>', "do as the paper's released code (switches, or all)", list, [])
    .option(
      '--template <name>',
      'prompt template: a name, "paper" for the paper\'s, or a text with {question}',
    )
    .addOption(imageBackendOption())
    .option('--seed <n>', 'seed of selection, noise and resampling', integer, 0)
    .option('--noise-draws <n>', 'draws of noise per sample', positiveInteger, 3)
    .addOption(
      new Option('--evaluate <how>', 'ask as many questions as the selection needs, or all (Table 2)')
        .choices(['needed', 'all'])
        .default('needed'),
    )
    .addOption(
      new Option(
        '--look <from>',
        "where attention is looked at: the correct option (BLIP's default), or the prompt's last position (LLaVA's)",
      ).choices(['answer', 'last']),
    )
    .option(
      '--shard <i/n>',
      'do part i of n: --until evaluate of the questions, else of the measurements of the samples --from',
      shard,
    )
    .option('--from <folder>', 'where samples were chosen (--until select), which this shard measures')
    .option(
      '--devices <numbers>',
      'one process for each of these devices of the machine: all, or numbers of `notice devices`, as 1,3',
      deviceChoice,
    )
    .addOption(new Option('--until <stage>', 'end after this stage').choices([...STAGES]))
    .addHelpText(
      'after',
      '\nExample:\n  notice run --model blip-shapes --data data/scenes.csv --samples 20 --out results-scenes',
    );
}

async function run(options: RunCommandOptions, preemption: Preemption): Promise<void> {
  if (options.from) {
    // Before a model is loaded.
    const { chosenIn } = await import('../../notice/experiment/merge.ts');
    await chosenIn(options.from);
  }
  return withModel(options, (open) => runWith(open, options, preemption));
}

/** What options ask for, with a model that is open already. */
export async function runWith(
  { name, gpu, model, processor, digest }: OpenModel,
  options: RunCommandOptions,
  preemption: Preemption,
): Promise<void> {
  const started = performance.now();
  const { beginFrom } = await import('../../notice/experiment/merge.ts');
  const { newRecord, ResultsFolder } = await import('../../notice/experiment/results.ts');
  const { runExperiment } = await import('../../notice/experiment/run.ts');
  const { inputWarnings } = await import('../../notice/experiment/warnings.ts');
  const { readInputs } = await import('../../notice/experiment/inputs.ts');
  const settings = settingsOf(options, model, name);
  // Before a folder is begun, or a question asked.
  checkSites(model, settings);
  const inputs = await readInputs(settings);
  for (const line of inputWarnings(inputs.tasks, settings)) console.log(line);
  const reader = await processor();
  const { folder, record } = await ResultsFolder.open(options.out, () =>
    newRecord(settings, {
      version: (JSON.parse(readFileSync(`${PACKAGE}package.json`, 'utf8')) as { version: string }).version,
      model: {
        family: model.family,
        answers: model.answers,
        weightBytes: model.weightBytes,
        towers: model.towers,
      },
      adapter: gpu.capabilities.description,
    }),
  );
  if (options.from) await beginFrom(options.from, { folder, record });
  console.log(`${modelTitle(settings.model)} on ${gpu.capabilities.description}`);
  const bars = new StepBars();
  const takeBack = sayOnInterrupt(
    `Ended by Ctrl-C. What was computed is in ${options.out}: the same command goes on from there.`,
  );
  const complete = await runExperiment(settings, folder, record, {
    ...inputs,
    model,
    modelDigest: await digest(),
    processor: reader,
    shard: options.shard,
    until: options.until,
    signal: preemption.begin(),
    onProgress: bars.update,
    log: bars.log,
  }).finally(() => {
    bars.stop();
    takeBack();
  });
  if (!complete) {
    console.log(whatNext(options));
    return;
  }
  const { writeResults } = await import('../../notice/report/write.ts');
  const { summary, tables, figures } = await writeResults(folder, record);
  console.log(summary);
  console.log(
    `\n${tables.length} tables and ${figures.length} figures and report.html in ${options.out}, after ${duration((performance.now() - started) / 1000)}`,
  );
}

function settingsOf(
  options: RunCommandOptions,
  model: VisionLanguageModel,
  name: string,
): ExperimentSettings {
  const sites = defaultSites(model);
  return {
    model: name,
    data: options.data.map((path) => resolve(path)),
    samples: options.samples,
    select: options.select,
    corruptions: options.corruptions,
    ...(options.generated ? { generated: resolve(options.generated) } : {}),
    moduleSites: options.sites ?? sites.moduleSites,
    headSite: options.headSite ?? sites.headSite,
    statistic: options.statistic,
    measure: options.measure,
    compat: parseCompat(options.compat),
    seed: options.seed,
    noiseDraws: options.noiseDraws,
    noiseScale: 3,
    template: options.template,
    evaluate: options.evaluate,
    ...(options.look ? { look: options.look } : {}),
    ...(options.dtype ? { dtype: options.dtype } : {}),
    ...(model.gpu.capabilities.subgroupMatrix ? { subgroupMatrices: true } : {}),
  };
}

function whatNext({ shard, until }: RunCommandOptions): string {
  const next = shard
    ? ' `notice merge` joins it with the others.'
    : until === 'select'
      ? ' Shards measure the samples with --from this folder.'
      : '';
  return `${shard ? 'This shard is done' : `Done until ${until}`}.${next}`;
}

/** One progress bar at a time, a new one for every step and task; without a terminal a line for each. */
class StepBars {
  #name = '';
  #bar = progressBar('');

  readonly update = (step: string, task: string, done: number, total: number): void => {
    const name = `${step} ${task}`;
    if (name !== this.#name) {
      this.stop();
      this.#name = name;
      if (!process.stderr.isTTY) console.log(`${name} …`);
      this.#bar = progressBar(name);
    }
    this.#bar.update(done, total);
  };

  /** A line above the bar. */
  readonly log = (line: string): void => {
    this.stop();
    this.#name = '';
    console.log(line);
  };

  stop(): void {
    this.#bar.stop();
  }
}

/** What modules are measured by in tables and figures. */
export function measureOption(): Option {
  return new Option(
    '--measure <kind>',
    'what tables and figures of modules show: P′ − P* or LD′ − LD*',
  ).choices(['probability', 'logit-difference']);
}

function corruptions(text: string): Corruption[] {
  const names = list(text);
  const unknown = names.find((name) => !CORRUPTIONS.includes(name as Corruption));
  if (unknown) throw new InvalidArgumentError(`"${unknown}" is none of ${CORRUPTIONS.join(', ')}.`);
  return names as Corruption[];
}

function shard(text: string): { index: number; count: number } {
  const [, index, count] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const found = { index: Number(index), count: Number(count) };
  if (!(found.index >= 1 && found.index <= found.count))
    throw new InvalidArgumentError(`expected i/n with i from 1 to n, found "${text}".`);
  return found;
}
