// The figures of an analysis, as SVG and PNG files.

import { type CellMetric, METRIC_LABELS } from '../../analysis/cell.ts';
import { layerProfile } from '../../analysis/comparison.ts';
import { ALL_CATEGORIES, type HeadPosition, type ModuleEffects, ofCategory } from '../../analysis/effects.ts';
import { defined } from '../../analysis/inference.ts';
import { attentionOverlay } from '../../analysis/overlay.ts';
import type { Box } from '../../analysis/patch-grid.ts';
import { mean } from '../../analysis/statistics.ts';
import { headLabel } from '../../analysis/universal-heads.ts';
import { type RgbImage, resize } from '../../inputs/index.ts';
import type { Pair } from '../datasets/index.ts';
import { barChart } from '../plots/bar-chart.ts';
import { headMap } from '../plots/head-map.ts';
import { layerProfiles } from '../plots/layer-profiles.ts';
import { moduleHeatmap } from '../plots/module-heatmap.ts';
import { overlayFigure } from '../plots/overlay.ts';
import { renderPng } from '../plots/png.ts';
import type { Share } from './accuracy.ts';
import { type Analysis, cleanImage, headResults } from './analyse.ts';
import { largestGrid } from './attention.ts';
import { questionBox } from './boxes.ts';
import { EXACT_MATCH_NAMES } from './exact-match.ts';
import { rankedHeads } from './ranking.ts';
import type { ResultsFolder } from './results.ts';
import { modelTitle } from './settings.ts';

/** Names of corruptions in titles. */
export const CORRUPTION_NAMES = {
  sip: 'SIP (counterpart image)',
  str: 'STR (replaced tokens)',
  noise: 'Gaussian noise on image embeddings',
  generated: 'generated counterpart image',
} as const;

/** Where single heads were patched, in titles. */
export const POSITION_NAMES: Readonly<Record<HeadPosition, string>> = {
  answer: 'the correct option',
  last: "the prompt's last token",
};

/** The head map of a position. */
export function headFigureName(position: HeadPosition): string {
  return position === 'answer' ? 'heads' : 'heads-last';
}

/** Short names of the usual sites, for titles; any other is named by its hook. */
const SITE_NAMES: Readonly<Record<string, string>> = {
  'text_encoder.attn.hook_z': 'self-attention',
  'text_encoder.cross_attn.hook_z': 'cross-attention',
  'text_encoder.hook_mlp_out': 'MLP',
  'language.attn.hook_z': 'attention',
  'language.hook_mlp_out': 'MLP',
};

function siteName(site: string): string {
  return SITE_NAMES[site] ?? site;
}

/** Heads of an overlay figure. */
const OVERLAY_HEADS = 4;

/** A figure of more categories would say nothing; tables have all of them. */
const MOST_CATEGORIES = 12;

export interface Figure {
  /** File name without extension. */
  readonly name: string;
  readonly svg: string;
}

/** Draws every figure that the analysis has data for. */
export async function drawFigures(analysis: Analysis): Promise<Figure[]> {
  const figures: Figure[] = [
    { name: 'accuracy', svg: accuracyFigure(analysis) },
    ...moduleFigures(analysis),
    ...profileFigures(analysis),
  ];
  for (const { position, universal } of headResults(analysis)) {
    if (!universal) continue;
    figures.push({
      name: headFigureName(position),
      svg: headMap({
        title: `Heads at ${POSITION_NAMES[position]}`,
        subtitle: `${modelName(analysis)}, ${analysis.record.settings.headSite}`,
        result: universal,
        metric: analysis.headMetric,
        labelled: (universal.selections[0]?.scores[0]?.length ?? 0) <= 8,
        ...noiseFloorText(analysis, analysis.headMetric),
      }),
    });
  }
  for (const task of analysis.attention.keys()) {
    const svg = await overlays(analysis, task);
    if (svg) figures.push({ name: `overlays-${task}`, svg });
  }
  return figures;
}

/** Writes figures/*.svg and *.png; returns the PNGs' names. */
export async function writeFigures(folder: ResultsFolder, figures: readonly Figure[]): Promise<string[]> {
  for (const { name, svg } of figures) {
    await folder.write(['figures', `${name}.svg`], svg);
    await folder.write(['figures', `${name}.png`], renderPng(svg));
  }
  return figures.map(({ name }) => `figures/${name}.png`);
}

function accuracyFigure(analysis: Analysis): string {
  const { accuracy } = analysis;
  const overall = accuracy.filter(({ category }) => category === ALL_CATEGORIES);
  // Where no answer differs in its first letter alone the two are the same bars.
  const differ = accuracy.some(({ correct, firstLetter }) => firstLetter.correct !== correct);
  const point = ({ accuracy: mean, low, high }: Share) => ({ mean, low, high });
  return barChart({
    title: 'Exact match by task and category',
    subtitle: modelName(analysis),
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

function moduleFigures(analysis: Analysis): Figure[] {
  return analysis.record.settings.corruptions.flatMap((corruption) => {
    const own = analysis.modules.filter((entry) => entry.corruption === corruption);
    const overall = ofCategory(own);
    if (overall.length === 0) return [];
    const byTask = [...new Set(own.map(({ task }) => task))].flatMap((task) => {
      const panels = own.filter((entry) => entry.task === task);
      const categories = new Set(panels.map(({ category }) => category)).size - 1;
      if (categories < 2 || categories > MOST_CATEGORIES) return [];
      const title = `${task} by category, ${CORRUPTION_NAMES[corruption]}`;
      return [
        { name: `modules-${corruption}-${task}`, svg: moduleFigure(analysis, title, panels, categoryName) },
      ];
    });
    const title = `Patching whole modules, ${CORRUPTION_NAMES[corruption]}`;
    return [
      { name: `modules-${corruption}`, svg: moduleFigure(analysis, title, overall, ({ task }) => task) },
      ...byTask,
    ];
  });
}

function categoryName({ category, samples }: ModuleEffects): string {
  return `${category} (n = ${samples.length})`;
}

function moduleFigure(
  analysis: Analysis,
  title: string,
  effects: readonly ModuleEffects[],
  rowName: (effects: ModuleEffects) => string,
): string {
  const { moduleMetric } = analysis;
  return moduleHeatmap({
    title,
    subtitle: modelName(analysis),
    caption:
      'Mean over samples of what one clean activation restores in the corrupt run, by token and layer.',
    n: sampleCounts(effects),
    panels: effects.map((entry) => ({
      row: rowName(entry),
      column: siteName(entry.site),
      roles: entry.roles,
      values: entry.values.map((layers) =>
        layers.map((values) => {
          const found = defined(values);
          return found.length > 0 ? mean(found) : undefined;
        }),
      ),
    })),
    label: METRIC_LABELS[moduleMetric],
    signed: moduleMetric !== 'p_patched',
    labelled: (effects[0]?.values[0]?.length ?? 0) <= 8,
    ...noiseFloorText(analysis, moduleMetric),
  });
}

/** One number where all panels have as many. */
function sampleCounts(effects: readonly ModuleEffects[]): number | string {
  const counts = effects.map(({ samples }) => samples.length);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return least === most ? most : `${least} to ${most} samples`;
}

function noiseFloorText({ noiseFloor }: Analysis, metric: CellMetric): { noiseFloor?: number } {
  const found = noiseFloor(metric);
  return found === undefined ? {} : { noiseFloor: found };
}

/** Corruptions beside each other at the correct option's tokens, layer by layer (Figures 4 and 10). */
function profileFigures(analysis: Analysis): Figure[] {
  const { modules, moduleMetric, record } = analysis;
  return record.tasks.flatMap(({ task }) => {
    const own = ofCategory(modules).filter((entry) => entry.task === task && entry.roles.includes('correct'));
    const sites = [...new Set(own.map(({ site }) => site))];
    if (sites.length === 0) return [];
    const profile = (entry: ModuleEffects) => [
      CORRUPTION_NAMES[entry.corruption],
      layerProfile(entry, 'correct', { seed: record.settings.seed }),
    ];
    return [
      {
        name: `corruptions-${task}`,
        svg: layerProfiles({
          title: `${task}: corruptions compared at the correct option`,
          subtitle: modelName(analysis),
          n: sampleCounts(own),
          ...noiseFloorText(analysis, moduleMetric),
          label: METRIC_LABELS[moduleMetric],
          panels: sites.map((site) => ({
            title: siteName(site),
            series: Object.fromEntries(own.filter((entry) => entry.site === site).map(profile)),
          })),
        }),
      },
    ];
  });
}

async function overlays(analysis: Analysis, task: string): Promise<string | undefined> {
  const { attention, attentionPosition, pairs, record } = analysis;
  // The heads that are strongest where the attention was taken.
  const patched = attentionPosition === 'last' ? analysis.lastHeads : analysis.heads;
  const own = patched.filter((entry) => entry.task === task);
  const source = own.find(({ corruption }) => corruption === 'sip') ?? own[0];
  const found = attention.get(task);
  if (!source || !found) return undefined;
  const chosen = rankedHeads(source, record.settings.statistic).slice(0, OVERLAY_HEADS);
  const rows = (pairs.get(task) ?? []).flatMap((pair) => {
    const of = found.get(pair.id);
    return of ? [{ pair, of }] : [];
  });
  if (rows.length === 0) return undefined;
  return overlayFigure({
    title: `${task}: where the strongest heads look`,
    subtitle: `${modelName(analysis)}, attention from ${POSITION_NAMES[attentionPosition]} to the image`,
    caption:
      `Attention at ${POSITION_NAMES[attentionPosition]} minus the mean over all heads of all layers; ` +
      'the image class token is left out.',
    n: rows.length,
    rows: await Promise.all(
      rows.map(async ({ pair, of }) => {
        const { attention, grid } = largestGrid(of);
        const { image, box } = shown(await cleanImage(record, task, pair), pair, grid.box);
        return {
          image,
          label: `${pair.cleanPrompt} ${pair.correct}`,
          ...(box ? { box } : {}),
          overlays: chosen.map((head) => ({
            title: headLabel(head),
            grid: attentionOverlay(attention, head, grid),
          })),
        };
      }),
    ),
  });
}

/** What a sample's clean image shows in a model's view, as a square, with the box of what is asked about. */
function shown(picture: RgbImage, pair: Pair, view: Box): { image: RgbImage; box: Box | undefined } {
  const image = cut(picture, view);
  const side = Math.min(image.width, image.height);
  const box = questionBox(pair)?.box;
  const [sx, sy] = [side / (view[2] - view[0]), side / (view[3] - view[1])];
  return {
    image: image.width === image.height ? image : resize(image, side, side, 'bicubic'),
    box: box && [
      (box[0] - view[0]) * sx,
      (box[1] - view[1]) * sy,
      (box[2] - view[0]) * sx,
      (box[3] - view[1]) * sy,
    ],
  };
}

/** A part of a picture; black where it goes beyond. */
function cut(picture: RgbImage, box: Box): RgbImage {
  const [left, top, right, bottom] = box.map(Math.round) as [number, number, number, number];
  const [width, height] = [right - left, bottom - top];
  const data = new Uint8Array(3 * width * height);
  const [from, to] = [Math.max(0, left), Math.min(picture.width, right)];
  for (let y = Math.max(0, top); y < Math.min(picture.height, bottom); y++) {
    const row = picture.data.subarray(3 * (y * picture.width + from), 3 * (y * picture.width + to));
    data.set(row, 3 * ((y - top) * width + from - left));
  }
  return { width, height, data };
}

function modelName({ record }: Analysis): string {
  return modelTitle(record.settings.model);
}
