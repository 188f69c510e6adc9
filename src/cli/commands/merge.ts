import type { Command } from 'commander';
import { NoticeError } from '../../errors.ts';

/** Joins the results folders of shards into the first. */
export function mergeCommand(program: Command): void {
  program
    .command('merge <folders...>')
    .description(
      'Joins the results folders of shards: their answers, for the shards to go on in one folder, or their measurements, and analyses these as one.',
    )
    .requiredOption('--out <folder>', 'results folder to write')
    .addHelpText('after', '\nExample:\n  notice merge results-1 results-2 --out results')
    .action(async (folders: string[], { out }: { out: string }) => {
      if (folders.length === 0) throw new NoticeError('usage', 'merge needs the folders of the shards');
      const { mergeResults } = await import('../../notice/experiment/merge.ts');
      const { writeResults } = await import('../../notice/report/write.ts');
      const { folder, record, complete } = await mergeResults(folders, out);
      if (!complete) {
        console.log(
          `The answers of ${folders.length} shards are joined. Each goes on in ${out}, or in a copy of it: notice run … --out ${out} --shard i/n`,
        );
        return;
      }
      const { summary, figures } = await writeResults(folder, record);
      console.log(summary);
      console.log(`\n${folders.length} shards joined; ${figures.length} figures in ${out}`);
    });
}
