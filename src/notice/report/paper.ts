// What the paper published for a run's model, beside what the run found.

import type { Analysis } from '../experiment/analyse.ts';
import { PAPER, paperTables, publishedResults } from '../reproduce/index.ts';
import { html, type Markup } from './html.ts';
import { htmlTable } from './table.ts';

/** Undefined for a model that the paper did not look at. */
export function paperSection(analysis: Analysis): Markup | undefined {
  const published = publishedResults(analysis.record.settings.model);
  if (!published) return undefined;
  return html`<p>${PAPER}</p>
${paperTables(published, analysis).map(({ caption, rows, columns }) => htmlTable(caption, rows, columns))}
<ul>${published.notes.map((note) => html`<li>${note}</li>`)}</ul>`;
}
