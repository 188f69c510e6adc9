// What was found, in two sentences and one picture.

import { ALL_CATEGORIES, ofCategory } from '../../analysis/effects.ts';
import { defined } from '../../analysis/inference.ts';
import { mean } from '../../analysis/statistics.ts';
import {
  headLabel,
  passCounts,
  type UniversalHeads,
  universalHeads,
} from '../../analysis/universal-heads.ts';
import { type Analysis, headResults } from '../experiment/analyse.ts';
import { type Figure, noiseFloorOf } from '../experiment/figure.ts';
import { modelTitle } from '../experiment/settings.ts';
import { CORRUPTION_NAMES, MEASURE_TITLES, POSITION_NAMES, siteName } from '../experiment/titles.ts';
import { headMap } from '../plots/head-map.ts';
import { formatNumber } from '../tables/format.ts';
import { figureHtml } from './figure.ts';
import { html, type Markup } from './html.ts';

/** @param picture {@link summaryFigure} of the same analysis */
export function summarySection(analysis: Analysis, picture: Figure | undefined): Markup {
  const found = headsOf(analysis);
  const sentences = [answersAndModules(analysis), found ? standOut(found.result) : undefined].filter(Boolean);
  return html`<p class="summary">${sentences.join(' ')}</p>${picture && figureHtml(picture)}`;
}

interface SummaryHeads {
  readonly place: string;
  readonly result: UniversalHeads;
}

/** Heads at the first position under the semantic corruptions; where there were none, under the first that was run. */
function headsOf(analysis: Analysis): SummaryHeads | undefined {
  const [first] = headResults(analysis);
  if (!first) return undefined;
  const { heads, position, universal } = first;
  const own = heads.filter(({ corruption }) => corruption === heads[0]?.corruption);
  return {
    place: POSITION_NAMES[position],
    result: universal ?? universalHeads(own, analysis.record.settings.statistic),
  };
}

function answersAndModules(analysis: Analysis): string | undefined {
  const name = modelTitle(analysis.record.settings.model);
  const overall = analysis.accuracy.filter(({ category }) => category === ALL_CATEGORIES);
  const asked = overall.reduce((sum, { n }) => sum + n, 0);
  const correct = overall.reduce((sum, row) => sum + row.correct, 0);
  const answers =
    asked > 0 ? `answers ${formatNumber((100 * correct) / asked)} % of ${asked} questions right` : '';
  const strongest = strongestModule(analysis);
  const modules = strongest
    ? `is brought back to its clean answer most by ${siteName(strongest.site)} of layer ${strongest.layer}, patched at tokens of the role “${strongest.role}” ` +
      `(mean ${MEASURE_TITLES[analysis.moduleMetric]} of ${formatNumber(strongest.value)}; ${strongest.task}, ${CORRUPTION_NAMES[strongest.corruption]})`
    : '';
  const parts = [answers, modules].filter(Boolean);
  return parts.length > 0 ? `${name} ${parts.join(' and ')}.` : undefined;
}

/** The module, layer and role with the largest mean effect in a task. */
function strongestModule({ modules }: Analysis) {
  const cells = ofCategory(modules).flatMap(({ values, roles, ...group }) =>
    values.flatMap((layers, r) =>
      layers.flatMap((samples, layer) => {
        const found = defined(samples);
        return found.length > 0 ? [{ ...group, role: roles[r]!, layer, value: mean(found) }] : [];
      }),
    ),
  );
  return cells.length > 0 ? cells.reduce((a, b) => (b.value > a.value ? b : a)) : undefined;
}

function standOut(result: UniversalHeads): string {
  const modalities = (['image', 'text'] as const).filter((modality) => result.universal[modality]);
  const lists = modalities.map((modality) => {
    const heads = result.universal[modality] ?? [];
    const [closest] = passCounts(result, modality);
    const near = closest ? ` (closest: ${headLabel(closest.head)}, in ${closest.tasks.join(' and ')})` : '';
    return `${heads.length > 0 ? heads.map(headLabel).join(', ') : `none${near}`} under ${modality} corruption`;
  });
  const tasks = new Set(result.selections.map(({ task }) => task)).size;
  return `Heads that stand out in ${tasks === 1 ? 'the only task' : `all ${tasks} tasks`}, by mean + 2 standard deviations: ${lists.join('; ')}.`;
}

/** The head map with the mean over tasks in each cell, framed where a head passes in all of them; none if no head was patched. */
export function summaryFigure(analysis: Analysis): Figure | undefined {
  const found = headsOf(analysis);
  if (!found) return undefined;
  const { place, result } = found;
  const { headMetric, record } = analysis;
  const tasks = [...new Set(result.selections.map(({ task }) => task))];
  const modalities = [...new Set(result.selections.map(({ modality }) => modality))];
  const selections = modalities.map((modality) => {
    const own = result.selections.filter((selection) => selection.modality === modality);
    const [first] = own;
    const scores = first!.scores.map((heads, layer) =>
      heads.map((_, head) => mean(own.map(({ scores }) => scores[layer]![head]!))),
    );
    return {
      ...first!,
      task: own.length === 1 ? first!.task : `mean of ${own.length} tasks`,
      n: own.reduce((sum, { n }) => sum + n, 0),
      scores,
      passing: result.universal[modality] ?? [],
    };
  });
  const drawing = headMap({
    title: `What patching single heads at ${place} changes`,
    subtitle: modelTitle(record.settings.model),
    ...(tasks.length > 1 ? { caption: 'The mean over the tasks; each task has its own map below.' } : {}),
    result: { ...result, selections },
    metric: headMetric,
    frameLabel: 'at or above mean + 2 sd in every task',
    labelled: (selections[0]?.scores[0]?.length ?? 0) <= 8,
    ...noiseFloorOf(analysis, headMetric),
  });
  return { name: 'summary', drawing, tasks };
}
