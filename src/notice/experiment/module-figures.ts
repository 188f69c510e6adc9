// Figures of whole modules: token × layer, and corruptions beside each other over layers.

import { type CellMetric, METRIC_LABELS } from '../../analysis/cell.ts';
import { layerProfile } from '../../analysis/comparison.ts';
import { type ModuleEffects, ofCategory } from '../../analysis/effects.ts';
import { defined } from '../../analysis/inference.ts';
import { mean } from '../../analysis/statistics.ts';
import type { Drawing } from '../plots/figure.ts';
import { layerProfiles } from '../plots/layer-profiles.ts';
import { moduleHeatmap } from '../plots/module-heatmap.ts';
import type { Analysis } from './analyse.ts';
import { type Figure, noiseFloorOf } from './figure.ts';
import { modelTitle } from './settings.ts';
import { CORRUPTION_NAMES, siteName } from './titles.ts';

/** A figure of more categories would say nothing; tables have all of them. */
const MOST_CATEGORIES = 12;

/**
 * Token × layer: a figure per corruption, then those by category. The figures of all corruptions share one colour scale, and
 * so do those by category of one task.
 */
export function moduleFigures(analysis: Analysis, measure: CellMetric): Figure[] {
  const all = analysis.effects.modules(measure);
  const { corruptions } = analysis.record.settings;
  const figure = (name: string, title: string, panels: ModuleEffects[], limit: number, row: RowName) => ({
    name,
    measure,
    tasks: [...new Set(panels.map(({ task }) => task))],
    corruption: panels[0]!.corruption,
    drawing: moduleFigure(analysis, measure, title, panels, limit, row),
  });
  const overall = ofCategory(all);
  const overallLimit = largestMean(overall);
  return corruptions.flatMap((corruption) => {
    const own = all.filter((entry) => entry.corruption === corruption);
    const whole = ofCategory(own);
    if (whole.length === 0) return [];
    const byTask = [...new Set(own.map(({ task }) => task))].flatMap((task) => {
      const panels = own.filter((entry) => entry.task === task);
      const categories = new Set(panels.map(({ category }) => category)).size - 1;
      if (categories < 2 || categories > MOST_CATEGORIES) return [];
      const limit = largestMean(all.filter((entry) => entry.task === task));
      const title = `${task} by category, ${CORRUPTION_NAMES[corruption]}`;
      return [figure(`modules-${corruption}-${task}`, title, panels, limit, categoryName)];
    });
    const title = `Patching whole modules, ${CORRUPTION_NAMES[corruption]}`;
    return [figure(`modules-${corruption}`, title, whole, overallLimit, ({ task }) => task), ...byTask];
  });
}

type RowName = (effects: ModuleEffects) => string;

function categoryName({ category, samples }: ModuleEffects): string {
  return `${category} (n = ${samples.length})`;
}

/** [role][layer]: means over samples. */
function meansOf({ values }: ModuleEffects): (number | undefined)[][] {
  return values.map((layers) =>
    layers.map((samples) => {
      const found = defined(samples);
      return found.length > 0 ? mean(found) : undefined;
    }),
  );
}

function largestMean(effects: readonly ModuleEffects[]): number {
  let largest = 0;
  for (const value of effects.flatMap((entry) => meansOf(entry).flat()))
    largest = Math.max(largest, Math.abs(value ?? 0));
  return largest;
}

function moduleFigure(
  analysis: Analysis,
  measure: CellMetric,
  title: string,
  effects: readonly ModuleEffects[],
  limit: number,
  rowName: RowName,
): Drawing {
  const { model, corruptions } = analysis.record.settings;
  return moduleHeatmap({
    title,
    subtitle: modelTitle(model),
    caption:
      'Mean over samples of what one clean activation restores in the corrupt run, by token and layer.' +
      (corruptions.length > 1 ? ' All corruptions have the same colour scale.' : ''),
    n: sampleCounts(effects),
    panels: effects.map((entry) => ({
      row: rowName(entry),
      column: siteName(entry.site),
      roles: entry.roles,
      values: meansOf(entry),
    })),
    label: METRIC_LABELS[measure],
    signed: measure !== 'p_patched',
    limit,
    labelled: (effects[0]?.values[0]?.length ?? 0) <= 8,
    ...noiseFloorOf(analysis, measure),
  });
}

/** One number where all panels have as many. */
function sampleCounts(effects: readonly ModuleEffects[]): number | string {
  const counts = effects.map(({ samples }) => samples.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return least === most ? most : `${least} to ${most} samples`;
}

/** Corruptions beside each other at the correct option's tokens, layer by layer (Figures 4 and 10). */
export function profileFigures(analysis: Analysis, measure: CellMetric): Figure[] {
  const { effects, record } = analysis;
  const overall = ofCategory(effects.modules(measure)).filter(({ roles }) => roles.includes('correct'));
  return record.tasks.flatMap(({ task }) => {
    const own = overall.filter((entry) => entry.task === task);
    const sites = [...new Set(own.map(({ site }) => site))];
    if (sites.length === 0) return [];
    const profile = (entry: ModuleEffects) => [
      CORRUPTION_NAMES[entry.corruption],
      layerProfile(entry, 'correct', { seed: record.settings.seed }),
    ];
    const drawing = layerProfiles({
      title: `${task}: corruptions compared at the correct option`,
      subtitle: modelTitle(record.settings.model),
      n: sampleCounts(own),
      ...noiseFloorOf(analysis, measure),
      label: METRIC_LABELS[measure],
      panels: sites.map((site) => ({
        title: siteName(site),
        series: Object.fromEntries(own.filter((entry) => entry.site === site).map(profile)),
      })),
    });
    return [{ name: `corruptions-${task}`, measure, tasks: [task], drawing }];
  });
}
