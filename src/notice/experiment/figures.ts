// The figures of an analysis, as SVG and PNG files.

import type { CellMetric } from '../../analysis/cell.ts';
import { ALL_CATEGORIES, type HeadPosition } from '../../analysis/effects.ts';
import { barChart } from '../plots/bar-chart.ts';
import { type Drawing, figureSvg } from '../plots/figure.ts';
import { headMap } from '../plots/head-map.ts';
import { renderPng } from '../plots/png.ts';
import type { Share } from './accuracy.ts';
import { type Analysis, headResults } from './analyse.ts';
import { EXACT_MATCH_NAMES } from './exact-match.ts';
import { type Figure, noiseFloorOf } from './figure.ts';
import { moduleFigures, profileFigures } from './module-figures.ts';
import { overlayDrawing } from './overlays.ts';
import type { ResultsFolder } from './results.ts';
import { modelTitle } from './settings.ts';
import { POSITION_NAMES } from './titles.ts';

/** Draws every figure that the analysis has data for; after those of the run's measures the same in others. */
export async function drawFigures(analysis: Analysis): Promise<Figure[]> {
  const { moduleMetric, headMetric } = analysis;
  const figures: Figure[] = [
    { name: 'accuracy', drawing: accuracyFigure(analysis) },
    ...measureFigures(analysis, moduleMetric, headMetric),
  ];
  for (const task of analysis.attention.keys()) {
    const drawing = await overlayDrawing(analysis, task);
    if (drawing) figures.push({ name: `overlays-${task}`, tasks: [task], drawing });
  }
  const others = measureFigures(analysis, otherMeasure(moduleMetric), otherMeasure(headMetric));
  return [...figures, ...others.map((figure) => ({ ...figure, alternative: true }))];
}

/** What the report offers beside a measure: restoration probability and logit difference are each other's. */
function otherMeasure(measure: CellMetric): CellMetric {
  return measure === 'ld_effect' ? 'p_effect' : 'ld_effect';
}

function measureFigures(analysis: Analysis, modules: CellMetric, heads: CellMetric): Figure[] {
  return [
    ...moduleFigures(analysis, modules),
    ...profileFigures(analysis, modules),
    ...headFigures(analysis, heads),
  ];
}

/** Writes figures/*.svg and *.png of the run's measures; returns the PNGs' names. */
export async function writeFigures(folder: ResultsFolder, figures: readonly Figure[]): Promise<string[]> {
  const own = figures.filter(({ alternative }) => !alternative);
  for (const { name, drawing } of own) {
    const svg = figureSvg(drawing);
    await folder.write(['figures', `${name}.svg`], svg);
    await folder.write(['figures', `${name}.png`], renderPng(svg));
  }
  return own.map(({ name }) => `figures/${name}.png`);
}

/** The head map of a position. */
export function headFigureName(position: HeadPosition): string {
  return position === 'answer' ? 'heads' : 'heads-last';
}

function headFigures(analysis: Analysis, measure: CellMetric): Figure[] {
  const { model, headSite } = analysis.record.settings;
  return headResults(analysis, measure).flatMap(({ position, universal }) => {
    if (!universal) return [];
    const drawing = headMap({
      title: `Heads at ${POSITION_NAMES[position]}`,
      subtitle: `${modelTitle(model)}, ${headSite}`,
      result: universal,
      metric: measure,
      labelled: (universal.selections[0]?.scores[0]?.length ?? 0) <= 8,
      ...noiseFloorOf(analysis, measure),
    });
    const tasks = [...new Set(universal.selections.map(({ task }) => task))];
    return [{ name: headFigureName(position), measure, tasks, drawing }];
  });
}

function accuracyFigure(analysis: Analysis): Drawing {
  const { accuracy } = analysis;
  const overall = accuracy.filter(({ category }) => category === ALL_CATEGORIES);
  // Where no answer differs in its first letter alone the two are the same bars.
  const differ = accuracy.some(({ correct, firstLetter }) => firstLetter.correct !== correct);
  const point = ({ accuracy: mean, low, high }: Share) => ({ mean, low, high });
  return barChart({
    title: 'Exact match by task and category',
    subtitle: modelTitle(analysis.record.settings.model),
    n: overall.reduce((sum, { n }) => sum + n, 0),
    groups: accuracy.map((row) => ({
      name: row.category === ALL_CATEGORIES ? `all ${row.task}` : row.category,
      series: {
        [EXACT_MATCH_NAMES.exact]: point(row),
        ...(differ ? { [EXACT_MATCH_NAMES['first-letter']]: point(row.firstLetter) } : {}),
      },
    })),
    label: 'answers equal to the correct option',
    percent: true,
  });
}
