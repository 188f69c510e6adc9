import { Command } from 'commander';
import { NoticeError } from '../../errors.ts';
import {
  missingPrerequisites,
  PAPER,
  PAPER_SAMPLES,
  PAPER_TASKS,
  paperTables,
  publishedResults,
  runArguments,
} from '../../notice/reproduce/index.ts';
import {
  addModelOptions,
  imageBackendOption,
  type ModelOptions,
  PAPER_TEMPLATE,
  positiveInteger,
} from '../options.ts';
import { terminalTable } from '../table.ts';
import { runCommand } from './run.ts';

interface ReproduceOptions extends ModelOptions {
  readonly data: string;
  readonly out: string;
  readonly samples: number;
  readonly noise?: boolean;
  readonly compat?: string;
  readonly check?: boolean;
}

export function reproduceCommand(program: Command): void {
  const command = program
    .command('reproduce')
    .description(
      "The paper's experiment with the paper's settings; its published values stand beside the result.",
    );
  addModelOptions(command)
    .requiredOption(
      '--data <folder>',
      `folder with the manifests ${PAPER_TASKS.map(({ name }) => `${name}.csv`).join(', ')}`,
    )
    .option('--out <folder>', 'results folder', 'reproduction')
    .option('--samples <n>', 'samples of each task', positiveInteger, PAPER_SAMPLES)
    .option('--noise', 'also Gaussian noise on image embeddings (Figures 4 and 10)')
    .option('--compat <list>', "do as the paper's released code (switches, or all)")
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .option('--check', 'only say what is missing')
    .addHelpText('after', `\n${recipe()}`)
    .action((options: ReproduceOptions) => reproduce(options));
}

/** The whole way from nothing to the comparison, as commands. */
function recipe(): string {
  const model = 'Salesforce/blip-vqa-base';
  const commands = [
    `notice pull ${model}`,
    ...PAPER_TASKS.flatMap((task) => task.commands(model, 'data')),
    `notice reproduce --model ${model} --data data`,
  ];
  return [
    'The recipe, with the data sets as published (adapt the paths):',
    ...commands.map((line) => `  ${line}`),
  ].join('\n');
}

async function reproduce(options: ReproduceOptions): Promise<void> {
  const { model, data, out, samples, noise = false } = options;
  const missing = await missingPrerequisites(model, data);
  if (missing.length > 0) {
    const steps = missing.map(({ what, commands }) => [
      `- ${what}`,
      ...commands.map((line) => `    ${line}`),
    ]);
    throw new NoticeError(
      'data',
      `${missing.length} of ${PAPER_TASKS.length + 1} prerequisites are missing:\n${steps.flat().join('\n')}`,
    );
  }
  if (options.check) {
    console.log('Everything is there.');
    return;
  }
  const args = [
    ...runArguments({ model, folder: data, out, samples, noise }),
    ...passedOn({ ...options, template: options.template ?? PAPER_TEMPLATE }),
  ];
  console.log(`notice run ${args.map(quoted).join(' ')}\n`);
  const run = new Command().exitOverride();
  runCommand(run);
  await run.parseAsync(['run', ...args], { from: 'user' });
  await printComparison(out);
}

/** Options that `notice run` has, too, and that the recipe leaves open. */
function passedOn(options: ReproduceOptions): string[] {
  const names = ['compat', 'template', 'dtype', 'adapter', 'memory'] as const;
  const given = names.flatMap((name) =>
    options[name] === undefined ? [] : [`--${name}`, String(options[name])],
  );
  if (options.imageBackend) given.push('--image-backend', options.imageBackend);
  return options.subgroupMatrices ? [...given, '--subgroup-matrices'] : given;
}

async function printComparison(out: string): Promise<void> {
  const { analyse } = await import('../../notice/experiment/analyse.ts');
  const { ResultsFolder } = await import('../../notice/experiment/results.ts');
  const { folder, record } = await ResultsFolder.existing(out);
  const { model } = record.settings;
  const published = publishedResults(model);
  console.log(`\nBeside the paper (${PAPER}):`);
  if (!published) {
    console.log(`the paper has no results for ${model}.`);
    return;
  }
  for (const { caption, rows, columns } of paperTables(published, await analyse(folder, record))) {
    console.log(`\n${caption}`);
    console.log(terminalTable(rows, columns));
  }
  for (const note of published.notes) console.log(`- ${note}`);
}

function quoted(text: string): string {
  return /^[\w./,:=@+-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
