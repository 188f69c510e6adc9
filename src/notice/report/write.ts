// From a results folder's measurements to everything that is made of them.

import { relative } from 'node:path';
import { type Analysis, analyse } from '../experiment/analyse.ts';
import { drawFigures, writeFigures } from '../experiment/figures.ts';
import type { ResultsFolder, RunRecord } from '../experiment/results.ts';
import { printSummary } from '../experiment/summary.ts';
import { writeTables } from '../experiment/tables.ts';
import type { Explorer } from './explorer.ts';
import { writeReport } from './report.ts';

export interface WrittenResults {
  readonly analysis: Analysis;
  /** What was found, in a few lines. */
  readonly summary: string;
  /** Names of the files, relative to the folder. */
  readonly tables: readonly string[];
  readonly figures: readonly string[];
}

/**
 * Writes tables, figures and report.html.
 *
 * @param options `partial`: of what there is; `explorer`: where maps of the report lead to
 * @throws NoticeError('data') naming every file of results that is damaged or missing; then nothing is written
 */
export async function writeResults(
  folder: ResultsFolder,
  record: RunRecord,
  { partial, explorer }: { readonly partial?: boolean; readonly explorer?: Explorer } = {},
): Promise<WrittenResults> {
  const analysis = await analyse(folder, record, { partial });
  const tables = await writeTables(folder, analysis);
  const drawn = await drawFigures(analysis);
  const figures = await writeFigures(folder, drawn);
  const parts = await folder.parts('cells');
  const cells = parts.map((part) =>
    relative(folder.path, folder.partFile('cells', part)).replaceAll('\\', '/'),
  );
  await writeReport(folder, analysis, drawn, { files: { tables, cells }, explorer });
  return { analysis, summary: printSummary(analysis), tables, figures };
}
