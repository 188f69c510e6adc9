// One self-contained HTML page for a run: no script, no file beside it.

import type { Analysis } from '../experiment/analyse.ts';
import type { Figure } from '../experiment/figures.ts';
import type { ResultsFolder } from '../experiment/results.ts';
import { modelTitle } from '../experiment/settings.ts';
import { differencesFromPaper } from './differences.ts';
import { html, Markup } from './html.ts';
import { leftOutSection } from './left-out.ts';
import { paperSection } from './paper.ts';
import {
  accuracySection,
  comparisonSection,
  controlsSection,
  figuresOf,
  functionsSection,
  headsSection,
  settingsSection,
  universalSection,
} from './sections.ts';

const STYLE = `
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1120px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; padding-bottom: .2rem; }
figure { margin: 1rem 0; overflow-x: auto; } figure svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; margin: 1rem 0; font-size: .9rem; } caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid #e5e5e5; text-align: left; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; } dt { color: #666; } dd { margin: 0; }
nav a { margin-right: 1rem; }
`;

/** Writes report.html. */
export async function writeReport(
  folder: ResultsFolder,
  analysis: Analysis,
  figures: readonly Figure[],
): Promise<void> {
  await folder.write(['report.html'], reportHtml(analysis, figures));
}

/** @param figures as drawn for the same analysis */
export function reportHtml(analysis: Analysis, figures: readonly Figure[]): string {
  const paper = paperSection(analysis);
  const name = modelTitle(analysis.record.settings.model);
  const sections: [id: string, title: string, content: Markup][] = [
    ['settings', 'Settings', settingsSection(analysis)],
    ['accuracy', 'Accuracy', accuracySection(analysis, figures)],
    ['left-out', 'Pairs left out', leftOutSection(analysis)],
    ['modules', 'Patching whole modules', html`${figuresOf(figures, 'modules-')}`],
    ['heads', 'Heads', html`${universalSection(analysis, figures)}${headsSection(analysis)}`],
    ['corruptions', 'Corruptions compared', comparisonSection(analysis, figures)],
    ['attention', 'Where heads look', html`${figuresOf(figures, 'overlays-')}`],
    ['functions', 'Head functions', functionsSection(analysis)],
    ...(paper ? [['paper', "Beside the paper's values", paper] as [string, string, Markup]] : []),
    ['controls', 'Self-checks', controlsSection(analysis)],
    ['differences', "Differences from the paper's set-up", differencesFromPaper(analysis)],
  ];
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${name}: activation patching</title><style>${new Markup(STYLE)}</style></head><body>
${analysis.missing === undefined ? '' : html`<p><strong>A partial report: ${analysis.missing}.</strong></p>`}
<h1>${name}</h1><p>Activation patching after "What Do VLMs NOTICE?". Every number here can be traced to tables/*.csv and cells/*.parquet beside this page.</p>
<nav>${sections.map(([id, title]) => html`<a href="#${id}">${title}</a> `)}</nav>
${sections.map(([id, title, content]) => html`<section id="${id}-section"><h2 id="${id}">${title}</h2>${content}</section>`)}
</body></html>
`;
  return page.text;
}
