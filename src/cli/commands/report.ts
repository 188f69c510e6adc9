import { resolve } from 'node:path';
import type { Command } from 'commander';
import { analyse } from '../../notice/experiment/analyse.ts';
import { writeFigures } from '../../notice/experiment/figures.ts';
import { ResultsFolder } from '../../notice/experiment/results.ts';
import { writeTables } from '../../notice/experiment/tables.ts';
import { writeReport } from '../../notice/report/report.ts';

export function reportCommand(program: Command): void {
  program
    .command('report')
    .description('One self-contained HTML page for a results folder, with its figures and tables.')
    .argument('[folder]', 'results folder', 'results')
    .action(async (path: string) => {
      const { folder, record } = await ResultsFolder.existing(path);
      const analysis = await analyse(folder, record);
      await writeTables(folder, analysis);
      await writeFigures(folder, analysis);
      await writeReport(folder, analysis);
      console.log(resolve(folder.file('report.html')));
    });
}
