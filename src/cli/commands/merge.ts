import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { NoticeError } from '../../errors.ts';
import { integer } from '../options.ts';

interface MergeCommandOptions {
  readonly out: string;
  readonly wait?: number | true;
}

const LOOK_MS = 5_000;

/** Joins the results folders of shards into another. */
export function mergeCommand(program: Command): void {
  program
    .command('merge <folders...>')
    .description(
      'Joins the results folders of shards: their answers, for samples to be chosen there, or their measurements, and analyses these as one.',
    )
    .requiredOption('--out <folder>', 'results folder to write')
    .option(
      '--wait [minutes]',
      'until all shards are there and done, with a number so long at most, and then end with status 75',
      integer,
    )
    .addHelpText('after', '\nExample:\n  notice merge results-1 results-2 --out results')
    .action(merge);
}

async function merge(folders: string[], { out, wait }: MergeCommandOptions): Promise<void> {
  const { mergeResults, shardsDone } = await import('../../notice/experiment/merge.ts');
  const { writeResults } = await import('../../notice/report/write.ts');
  const until = wait === true ? Number.POSITIVE_INFINITY : Date.now() + 60_000 * (wait ?? 0);
  while (wait !== undefined && !(await shardsDone(folders))) {
    if (Date.now() >= until)
      throw new NoticeError(
        'unfinished',
        `after ${wait} minutes not all of the ${folders.length} shards are done`,
      );
    await sleep(Math.min(LOOK_MS, until - Date.now()));
  }
  const { folder, record, complete } = await mergeResults(folders, out);
  if (!complete) {
    console.log(
      `The answers of ${folders.length} shards are joined in ${out}: \`notice run … --out ${out} --until select\` chooses the samples.`,
    );
    return;
  }
  const { summary, figures } = await writeResults(folder, record);
  console.log(summary);
  console.log(`\n${folders.length} shards joined; ${figures.length} figures in ${out}`);
}
