// One self-contained HTML page for a run: it needs no file beside it, and no script to be read.

import { createHash } from 'node:crypto';
import type { Analysis } from '../experiment/analyse.ts';
import type { Figure } from '../experiment/figure.ts';
import type { ResultsFolder } from '../experiment/results.ts';
import { modelTitle } from '../experiment/settings.ts';
import { differencesFromPaper } from './differences.ts';
import { type Explorer, withLinks } from './explorer.ts';
import { figureHtml } from './figure.ts';
import { filesSection, type ReportFiles, tableLinks } from './files.ts';
import { html, Markup } from './html.ts';
import { leftOutSection } from './left-out.ts';
import { paperSection } from './paper.ts';
import { pageScript } from './script.ts';
import {
  accuracySection,
  comparisonSection,
  controlsSection,
  functionsSection,
  headsSection,
  modulesSection,
  settingsSection,
  universalSection,
} from './sections.ts';
import { STYLE } from './style.ts';
import { summaryFigure, summarySection } from './summary.ts';

export interface ReportOptions {
  /** What there is beside the page, to link to. */
  readonly files?: ReportFiles;
  /** With it maps lead to their pairs there. */
  readonly explorer?: Explorer | undefined;
}

/** Writes report.html. */
export async function writeReport(
  folder: ResultsFolder,
  analysis: Analysis,
  figures: readonly Figure[],
  options: ReportOptions,
): Promise<void> {
  await folder.write(['report.html'], reportHtml(analysis, figures, options));
}

type Section = [id: string, title: string, content: Markup, tables?: readonly string[]];

/** @param drawn as drawn for the same analysis */
export function reportHtml(
  analysis: Analysis,
  drawn: readonly Figure[],
  { files = { tables: [], cells: [] }, explorer }: ReportOptions = {},
): string {
  const linked = (all: readonly Figure[]) => (explorer ? withLinks(explorer, analysis, all) : all);
  const figures = linked(drawn);
  const picture = summaryFigure(analysis);
  const paper = paperSection(analysis);
  const name = modelTitle(analysis.record.settings.model);
  const sections: Section[] = [
    ['summary', 'What was found', summarySection(analysis, picture && linked([picture])[0])],
    ['settings', 'Settings', settingsSection(analysis)],
    ['accuracy', 'Accuracy', accuracySection(analysis, figures), ['accuracy', 'accuracy_first_letter']],
    ['left-out', 'Pairs left out', leftOutSection(analysis)],
    ['modules', 'Patching whole modules', modulesSection(analysis, figures), ['modules']],
    [
      'heads',
      'Heads',
      html`${universalSection(analysis, figures)}${headsSection(analysis)}`,
      ['heads', 'universal_heads', 'head_thresholds'],
    ],
    ['corruptions', 'Corruptions compared', comparisonSection(analysis, figures), ['head_correlations']],
    [
      'attention',
      'Where heads look',
      html`${figures.filter(({ name }) => name.startsWith('overlays-')).map(figureHtml)}`,
    ],
    ['functions', 'Head functions', functionsSection(analysis), ['head_functions']],
    ...(paper ? [['paper', "Beside the paper's values", paper] as Section] : []),
    ['controls', 'Self-checks', controlsSection(analysis)],
    ['differences', "Differences from the paper's set-up", differencesFromPaper(analysis)],
    ['files', 'Files, and how to repeat this', filesSection(files, analysis.record)],
  ];
  const script = pageScript();
  const policy = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${createHash('sha256').update(script).digest('base64')}'; base-uri 'none'; form-action 'none'`;
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<title>${name}: activation patching</title><style>${new Markup(STYLE)}</style></head><body>
<main>${analysis.missing === undefined ? '' : html`<p><strong>A partial report: ${analysis.missing}.</strong></p>`}
<h1>${name}</h1><p>Activation patching after "What Do VLMs NOTICE?". Every number here can be traced to <a href="#files">the files</a> beside this page.
Point at a cell of a map for its value, or move to a map by Tab and through it by arrow keys.</p>
<nav aria-label="Sections">${sections.map(([id, title]) => html`<a href="#${id}">${title}</a> `)}</nav>
${sections.map(([id, title, content, tables = []]) => html`<section aria-labelledby="${id}"><h2 id="${id}">${title}</h2>${content}${tableLinks(files, tables)}</section>`)}
</main>
<script>${new Markup(script)}</script>
</body></html>
`;
  return page.text;
}
