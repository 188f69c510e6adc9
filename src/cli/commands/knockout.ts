// `notice knockout`: how information flows, by what the answer loses without some edges of attention.

import type { Command } from 'commander';
import { NoticeError } from '../../errors.ts';
import { knockoutSweep } from '../../patching/index.ts';
import { type NamedPrompt, PLACES, readEdges, usualEdges } from '../edges.ts';
import { knockoutTable, writeKnockout } from '../knockout-output.ts';
import { addModelOptions, collect, type ModelOptions, positiveInteger, withModel } from '../options.ts';
import { progressBar } from '../progress.ts';
import { formatOf } from '../result-file.ts';
import { addCleanOptions, type CleanOptions, checkCleanOptions, readClean } from '../sweep-pair.ts';
import { checkOutput } from '../tensors.ts';

interface KnockoutCommandOptions extends ModelOptions, CleanOptions {
  readonly edges?: string[];
  readonly window: number;
  readonly heads?: boolean;
  readonly out?: string[];
}

export function knockoutCommand(program: Command): void {
  const command = program
    .command('knockout')
    .description('Attention knock-out: what the answer loses where some positions do not see some others.');
  addCleanOptions(addModelOptions(command))
    .option(
      '--edges <from:to>',
      `which: ${PLACES.join(', ')}, a word of the question, or positions from 0, comma-separated; again for more, with attention: before it for another than the prompt's (default the ways from the image to the answer)`,
      collect,
    )
    .option('--window <n>', 'blocks that are cut together, around each block', positiveInteger, 1)
    .option('--heads', 'cut each head by itself')
    .option(
      '--out <file>',
      'file to write, again for more: .safetensors, .parquet, .csv, .png, .svg',
      collect,
    )
    .addHelpText(
      'after',
      '\nExample:\n  notice knockout --model weights/llava-shapes --clean data/scenes/002_clean.png \\\n' +
        '    --prompt "is the triangle inside the heart or ring?" --correct heart --incorrect ring --out flow.png',
    )
    .action((options: KnockoutCommandOptions) => runKnockout(options));
}

async function runKnockout(options: KnockoutCommandOptions): Promise<void> {
  const { out = [], window, heads = false } = options;
  checkCleanOptions(options, 'knockout');
  for (const file of out) {
    formatOf(file);
    await checkOutput(file);
  }
  await withModel(options, async ({ model, processor }) => {
    const { correct, incorrect, ...read } = await readClean(model, processor, options);
    const named: NamedPrompt = { ...read, words: options };
    const groups = (options.edges ?? usualEdges(model, named)).map((text) => ({
      ...readEdges(model, text, named),
      windows: window,
      eachHead: heads,
    }));
    const twice = groups.find(({ name }, i) => groups.findIndex((other) => other.name === name) !== i);
    if (twice) throw new NoticeError('usage', `--edges ${twice.name} is given twice`);
    const bar = progressBar('knock-outs');
    const results = await knockoutSweep(model, [{ sample: read.sample, correct, incorrect, groups }], {
      onProgress: (done, all) => bar.update(done, all),
    }).finally(() => bar.stop());
    for (const result of results) {
      console.log(`${knockoutTable(result, options.correct ?? `token ${correct}`)}\n`);
      const count = result.groups.reduce((sum, { edges }) => sum + edges.length, 0);
      for (const file of out) {
        await writeKnockout(file, result, window);
        console.log(`${count} knock-outs of ${groups.length} groups of edges → ${file}`);
      }
    }
  });
}
