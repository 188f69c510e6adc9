// Tables of the report. They scroll by themselves where the page is narrower, and the page's script lets readers sort them.

import type { PanelTable } from '../plots/svg.ts';
import { formatNumber } from '../tables/format.ts';
import type { Column } from '../tables/table.ts';
import { html, type Markup } from './html.ts';

/** Characters of a text that may have several lines. */
const LONG_TEXT = 40;

/** A table with the caption above it; numbers keep their full precision in `data-value`. */
export function htmlTable<Row>(
  caption: string,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): Markup {
  const cell = (row: Row, { value, digits }: Column<Row>) => {
    const found = value(row);
    if (typeof found !== 'string') return numberCell(found, digits);
    return found.length > LONG_TEXT ? html`<td class="text">${found}</td>` : html`<td>${found}</td>`;
  };
  return html`<div class="scroll" role="group" aria-label="${caption}"><table class="sortable"><caption><span>${caption}</span></caption>
<thead><tr>${columns.map(({ name }) => html`<th scope="col">${name.replaceAll('_', ' ')}</th>`)}</tr></thead>
<tbody>${rows.map((row) => html`<tr>${columns.map((column) => cell(row, column))}</tr>`)}</tbody></table></div>`;
}

/** The numbers of a map or chart, for those who do not see it. */
export function panelTable({ title, rowLabel, columns, rows }: PanelTable): Markup {
  return html`<div class="scroll" role="group" aria-label="${title}"><table><caption><span>${title}</span></caption>
<thead><tr><th scope="col">${rowLabel}</th>${columns.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${rows.map(({ name, values }) => html`<tr><th scope="row">${name}</th>${values.map((value) => numberCell(value))}</tr>`)}</tbody></table></div>`;
}

function numberCell(value: number | null | undefined, digits?: number): Markup {
  return html`<td class="number" data-value="${value ?? ''}">${formatNumber(value, digits)}</td>`;
}
