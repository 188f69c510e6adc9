// Figures of the report: the same pictures as in figures/, but in pieces that flow, so that they can be read on a phone.

import type { CellMetric } from '../../analysis/cell.ts';
import type { Figure } from '../experiment/figure.ts';
import { MEASURE_TITLES } from '../experiment/titles.ts';
import { drawingCaption } from '../plots/figure.ts';
import { type Block, type Panel, serialize, svgElement } from '../plots/svg.ts';
import { html, type Markup, svgMarkup } from './html.ts';
import { panelTable } from './table.ts';

/** The figure of a name, in all of its measures. */
export function figuresOf(figures: readonly Figure[], wanted: string): Markup[] {
  return figures.filter(({ name }) => name === wanted).map(figureHtml);
}

/** @param figure its id in the page is `figure-{name}`, of alternatives with the measure behind it */
export function figureHtml({ name, drawing, measure, alternative, links = [] }: Figure): Markup {
  const tables = drawing.panels.flat().flatMap((panel) => (panel?.table ? [panelTable(panel.table)] : []));
  return html`<figure id="figure-${encodeURIComponent(name)}${alternative ? `-${measure}` : ''}"${measure ? html` data-measure="${measure}"` : ''}>
<figcaption><strong>${drawing.title}</strong> <span>${drawing.subtitle}</span></figcaption>
${drawing.legends.map((row) => html`<div class="legend" aria-hidden="true">${row.map((block) => picture(block))}</div>`)}
${drawing.panels.map((row) => html`<div class="panels">${row.map((panel) => panel && panelHtml(panel))}</div>`)}
<p class="note">${drawingCaption(drawing)}</p>
${links.length > 0 ? html`<p class="note">In the explorer: ${links.map((link) => html`<a href="${link.href}">${link.name}</a> `)}</p>` : ''}
${tables.length > 0 ? html`<details><summary>The numbers</summary>${tables}</details>` : ''}
</figure>`;
}

/**
 * A choice among the measures in which a section has its figures, the first being what is shown at first. Style sheets
 * do the rest.
 */
export function measureChoice(section: string, figures: readonly Figure[]): Markup {
  const measures = [...new Set(figures.flatMap(({ measure }) => (measure ? [measure] : [])))];
  if (measures.length < 2) return html``;
  return html`<fieldset class="choice"><legend>Maps show</legend>
${measures.map((measure, i) => radio(section, measure, i === 0))}</fieldset>`;
}

function radio(section: string, measure: CellMetric, checked: boolean): Markup {
  return html`<label><input type="radio" name="measure-${section}" value="${measure}"${checked ? html` checked` : ''}> ${MEASURE_TITLES[measure]}</label>`;
}

function panelHtml(panel: Panel): Markup {
  return html`<div class="panel" role="group" aria-label="${panel.table?.title ?? panel.alt}">${picture(panel, panel.alt)}</div>`;
}

/** @param alt none where others say it all */
function picture({ element, width, height }: Block, alt?: string): Markup {
  const attributes = { width, height, viewBox: `0 0 ${width} ${height}` };
  const named = alt !== undefined ? { ...attributes, role: 'img', 'aria-label': alt } : attributes;
  return svgMarkup(serialize(svgElement('svg', named, element)));
}
