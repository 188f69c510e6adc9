import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { ModuleMeasure } from '../../notice/experiment/settings.ts';
import { PACKAGE } from '../embedded.ts';
import { measureOption } from './run.ts';

interface ReportCommandOptions {
  readonly measure?: ModuleMeasure;
  readonly partial?: boolean;
  readonly explorer?: string;
}

export function reportCommand(program: Command): void {
  program
    .command('report')
    .description('One self-contained HTML page for a results folder, with its figures and tables.')
    .argument('[folder]', 'results folder', 'results')
    .addOption(measureOption())
    .option('--partial', 'of a run that is not finished or whose files are damaged: what there is')
    .option('--explorer <url>', "an explorer's page, to which every map leads with its pairs", pageAddress)
    .addHelpText('after', '\nExample:\n  notice report results --measure logit-difference')
    .action(report);
}

async function report(
  path: string,
  { measure, partial, explorer: url }: ReportCommandOptions,
): Promise<void> {
  const { ResultsFolder } = await import('../../notice/experiment/results.ts');
  const { writeResults } = await import('../../notice/report/write.ts');
  const { folder, record } = await ResultsFolder.existing(path);
  const settings = measure ? { ...record.settings, measure } : record.settings;
  const embedded = { models: `${PACKAGE}weights`, data: `${PACKAGE}data` };
  const { analysis } = await writeResults(
    folder,
    { ...record, settings },
    { partial: partial === true, ...(url ? { explorer: { url, embedded } } : {}) },
  );
  if (analysis.missing !== undefined) console.log(`A partial report: ${analysis.missing}.`);
  console.log(resolve(folder.file('report.html')));
}

/** An address that a browser opens as a page. */
function pageAddress(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : undefined;
  if (protocol !== 'http:' && protocol !== 'https:')
    throw new InvalidArgumentError(`"${text}" is no address of a page; expected http://… or https://…`);
  return text;
}
