import type { Command } from 'commander';
import { type Drop, type Pair, readManifest, selectBalanced } from '../../notice/datasets/index.ts';
import type { Accuracy } from '../../notice/experiment/accuracy.ts';
import { checkTasks, taskName } from '../../notice/experiment/settings.ts';
import { formatNumber } from '../../notice/tables/format.ts';
import { nodeImages } from '../../platform/node/images.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import {
  addModelOptions,
  imageBackendOption,
  integer,
  list,
  type ModelOptions,
  positiveInteger,
  withModel,
} from '../options.ts';
import { progressBar, sayOnInterrupt } from '../progress.ts';
import { terminalTable } from '../table.ts';

interface EvaluateOptions extends ModelOptions {
  readonly data: string[];
  readonly n?: number;
  readonly seed: number;
  readonly out?: string;
  readonly outFirstLetter?: string;
}

export function evaluateCommand(program: Command): void {
  const command = program
    .command('evaluate')
    .description(
      "The share of a data set's questions that the model answers exactly right (paper, Table 2).",
    );
  addModelOptions(command)
    .requiredOption('--data <files>', 'manifests (CSV), comma-separated, one per task', list)
    .option('--n <n>', 'ask only n questions of each, half with the correct option first', positiveInteger)
    .option('--seed <n>', 'seed of the draw for --n', integer, 0)
    .option('--template <name>', 'prompt template: a name, or a text with {question}')
    .addOption(imageBackendOption())
    .option('--out <file>', 'table of exact match to write (CSV), numbers in full precision')
    .option('--out-first-letter <file>', 'the same table of answers that are right but for first letter')
    .addHelpText(
      'after',
      `
An answer is right if it equals the correct option, capitalisation included, but for surrounding space; "but for first
letter" is the share of answers that do but for the case of their first letter. "flipped" is the share of counterpart images that turned the answer into the other option. Intervals are Wilson's, 95 %.
An evaluation that is ended goes on where it was when the same command is given again.

Example:
  notice evaluate --model blip-shapes --data data/scenes.csv,data/states.csv --out accuracy.csv`,
    )
    .action((options: EvaluateOptions) => evaluate(options));
}

async function evaluate(options: EvaluateOptions): Promise<void> {
  const { taskAccuracies } = await import('../../notice/experiment/accuracy.ts');
  const { evaluatePairs } = await import('../../notice/experiment/evaluate.ts');
  const { runInputs } = await import('../../notice/experiment/keys.ts');
  const { OpenAnswers } = await import('../../notice/experiment/open-answers.ts');
  const { accuracyTable } = await import('../../notice/experiment/tables.ts');
  const { data, n, seed, out, outFirstLetter } = options;
  checkTasks(data);
  const tasks: { task: string; pairs: readonly Pair[] }[] = [];
  const drops: Drop[] = [];
  for (const file of data) {
    const { pairs, report } = await readManifest(file);
    drops.push(...report.drops);
    tasks.push({ task: taskName(file), pairs: n ? selectBalanced(pairs, { n, seed }).pairs : pairs });
  }
  const rows = await withModel(options, async (open) => {
    const { model } = open;
    const reader = await open.processor();
    const inputs = runInputs(model, reader, await open.digest());
    const kept = await OpenAnswers.open(inputs, options.dtype);
    if (kept.size > 0) console.error(`Goes on after ${kept.size} answers of an evaluation that was ended.`);
    const takeBack = sayOnInterrupt(
      'Ended by Ctrl-C. What was answered is kept: the same command goes on from there.',
    );
    const found: Accuracy[] = [];
    for (const { task, pairs } of tasks) {
      const bar = progressBar(`questions of ${task}`);
      const result = await evaluatePairs(model, reader, nodeImages, pairs, {
        onProgress: bar.update,
        kept,
      }).finally(bar.stop);
      drops.push(...result.drops);
      if (result.evaluations.length > 0) found.push(...taskAccuracies(task, result.evaluations));
    }
    takeBack();
    await kept.remove();
    return found;
  });
  console.log(
    terminalTable(rows, [
      { name: 'task', value: ({ task }) => task },
      { name: 'category', value: ({ category }) => category },
      { name: 'questions', value: (row) => row.n },
      { name: 'right', value: ({ correct }) => correct },
      { name: 'exact match', value: ({ accuracy }) => accuracy },
      { name: '95 % interval', value: ({ low, high }) => `${formatNumber(low)} to ${formatNumber(high)}` },
      { name: 'but for first letter', value: ({ firstLetter }) => firstLetter.accuracy },
      { name: 'flipped', value: ({ flipped }) => flipped },
    ]),
  );
  for (const { source, reason, detail } of drops) console.log(`${source} is left out (${reason}): ${detail}`);
  const tables = [
    [out, 'exact'],
    [outFirstLetter, 'first-letter'],
  ] as const;
  for (const [file, definition] of tables) {
    if (!file) continue;
    await writeWhole(file, accuracyTable(rows, definition));
    console.log(`\n→ ${file}`);
  }
}
