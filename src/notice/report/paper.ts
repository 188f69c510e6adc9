// What the paper published for a run's model, beside what the run found.

import type { Analysis } from '../experiment/analyse.ts';
import { compareHeads, PAPER, publishedResults, SECOND_HAND } from '../reproduce/index.ts';
import { html, type Markup } from './html.ts';
import { htmlTable } from './sections.ts';

/** Undefined for a model that the paper did not look at. */
export function paperSection(analysis: Analysis): Markup | undefined {
  const published = publishedResults(analysis.record.settings.model);
  if (!published) return undefined;
  const { source, notes, missing } = published;
  const remarks = [...notes, `Not known here: ${missing.join('; ')}.`, SECOND_HAND];
  return html`<p>${PAPER}</p>
${htmlTable(`Universal heads (${source})`, compareHeads(published, analysis), [
  { name: 'head', value: ({ head }) => head },
  { name: 'paper', value: (row) => row.published?.class ?? 'not universal' },
  { name: 'function in the paper', value: (row) => row.published?.function ?? '–' },
  { name: 'here', value: (row) => row.class ?? '–' },
  { name: 'passes here, image', value: ({ image }) => image.join(', ') || 'in no task' },
  { name: 'passes here, text', value: ({ text }) => text.join(', ') || 'in no task' },
])}
<ul>${remarks.map((note) => html`<li>${note}</li>`)}</ul>`;
}
