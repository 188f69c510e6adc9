// The files that the report was made of, and the way to make them again.

import type { RunRecord } from '../experiment/results.ts';
import { repeatCommand } from './command.ts';
import { html, type Markup } from './html.ts';

/** Paths relative to report.html. */
export interface ReportFiles {
  /** tables/*.csv */
  readonly tables: readonly string[];
  /** cells/*.parquet */
  readonly cells: readonly string[];
}

/** Links to the tables of these names that there are. */
export function tableLinks({ tables }: ReportFiles, names: readonly string[]): Markup {
  const own = tables.filter((path) => names.some((name) => path === `tables/${name}.csv`));
  return own.length > 0 ? html`<p class="note">All numbers: ${own.map(link)}</p>` : html``;
}

export function filesSection({ tables, cells }: ReportFiles, record: RunRecord): Markup {
  return html`${tables.length > 0 ? html`<p>Tables (CSV): ${tables.map(link)}</p>` : ''}
${
  cells.length > 0
    ? html`<p>Every patch is a row of <a href="cells/">cells/</a> (Parquet).</p>
<details><summary>${cells.length} files</summary><p>${cells.map(link)}</p></details>`
    : ''
}
<p>This command measures the same again, in a folder <code>repeated</code>:</p>
<pre><code>${repeatCommand(record)}</code></pre>`;
}

function link(path: string): Markup {
  const href = path.split('/').map(encodeURIComponent).join('/');
  return html`<a href="${href}">${path.split('/').at(-1)}</a> `;
}
