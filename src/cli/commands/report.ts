import { resolve } from 'node:path';
import type { Command } from 'commander';

export function reportCommand(program: Command): void {
  program
    .command('report')
    .description('One self-contained HTML page for a results folder, with its figures and tables.')
    .argument('[folder]', 'results folder', 'results')
    .action(async (path: string) => {
      const { ResultsFolder } = await import('../../notice/experiment/results.ts');
      const { writeResults } = await import('../../notice/report/write.ts');
      const { folder, record } = await ResultsFolder.existing(path);
      await writeResults(folder, record);
      console.log(resolve(folder.file('report.html')));
    });
}
