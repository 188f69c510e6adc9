import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ModuleMeasure } from '../../notice/experiment/settings.ts';
import { measureOption } from './run.ts';

export function reportCommand(program: Command): void {
  program
    .command('report')
    .description('One self-contained HTML page for a results folder, with its figures and tables.')
    .argument('[folder]', 'results folder', 'results')
    .addOption(measureOption())
    .option('--partial', 'of a run that is not finished or whose files are damaged: what there is')
    .action(async (path: string, { measure, partial }: { measure?: ModuleMeasure; partial?: boolean }) => {
      const { ResultsFolder } = await import('../../notice/experiment/results.ts');
      const { writeResults } = await import('../../notice/report/write.ts');
      const { folder, record } = await ResultsFolder.existing(path);
      const settings = measure ? { ...record.settings, measure } : record.settings;
      const { analysis } = await writeResults(folder, { ...record, settings }, { partial: partial === true });
      if (analysis.missing !== undefined) console.log(`A partial report: ${analysis.missing}.`);
      console.log(resolve(folder.file('report.html')));
    });
}
