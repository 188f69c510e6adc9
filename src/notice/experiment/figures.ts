// The figures of an analysis, as SVG and PNG files.

import { METRIC_LABELS } from '../../analysis/cell.ts';
import { layerProfile } from '../../analysis/comparison.ts';
import { attentionOverlay } from '../../analysis/overlay.ts';
import type { Box } from '../../analysis/patch-grid.ts';
import { mean } from '../../analysis/statistics.ts';
import { headLabel } from '../../analysis/universal-heads.ts';
import { type RgbImage, resize } from '../../inputs/index.ts';
import { readImage } from '../../platform/node/images.ts';
import type { Pair } from '../datasets/index.ts';
import { barChart } from '../plots/bar-chart.ts';
import { headMap } from '../plots/head-map.ts';
import { layerProfiles } from '../plots/layer-profiles.ts';
import { moduleHeatmap } from '../plots/module-heatmap.ts';
import { overlayFigure } from '../plots/overlay.ts';
import { renderPng } from '../plots/png.ts';
import { type Analysis, type HeadPosition, headResults } from './analyse.ts';
import { questionBox } from './boxes.ts';
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

/** Samples and heads of an overlay figure. */
const OVERLAY_SAMPLES = 3;
const OVERLAY_HEADS = 4;

/** Resamples of the intervals in figures. */
const RESAMPLES = 1999;

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
        metric: analysis.metric === 'p_patched' ? 'p_patched' : 'ld_effect',
        labelled: (universal.selections[0]?.scores[0]?.length ?? 0) <= 8,
        noiseFloor: analysis.noiseFloor,
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
  const overall = accuracy.filter(({ category }) => category === 'all');
  return barChart({
    title: 'Exact match by task and category',
    subtitle: modelName(analysis),
    n: overall.reduce((sum, { n }) => sum + n, 0),
    groups: accuracy.map((row) => ({
      name: row.category === 'all' ? `all ${row.task}` : row.category,
      series: { 'exact match': { mean: row.accuracy, low: row.low, high: row.high } },
    })),
    label: 'answers equal to the correct option',
    percent: true,
  });
}

function moduleFigures({ modules, metric, noiseFloor, record }: Analysis): Figure[] {
  return record.settings.corruptions.flatMap((corruption) => {
    const own = modules.filter((entry) => entry.corruption === corruption);
    if (own.length === 0) return [];
    return [
      {
        name: `modules-${corruption}`,
        svg: moduleHeatmap({
          title: `Patching whole modules, ${CORRUPTION_NAMES[corruption]}`,
          subtitle: modelTitle(record.settings.model),
          caption:
            'Mean over samples of what one clean activation restores in the corrupt run, by token and layer.',
          n: Math.max(...own.map(({ samples }) => samples.length)),
          panels: own.map(({ task, site, roles, values }) => ({
            row: task,
            column: siteName(site),
            roles,
            values: values.map((layers) =>
              layers.map((effects) => (effects.length > 0 ? mean(effects) : undefined)),
            ),
          })),
          label: METRIC_LABELS[metric],
          signed: metric !== 'p_patched',
          labelled: (own[0]?.values[0]?.length ?? 0) <= 8,
          noiseFloor,
        }),
      },
    ];
  });
}

/** Corruptions beside each other at the correct option's tokens, layer by layer (Figures 4 and 10). */
function profileFigures({ modules, metric, noiseFloor, record }: Analysis): Figure[] {
  return record.tasks.flatMap(({ task, selected }) => {
    const own = modules.filter((entry) => entry.task === task && entry.roles.includes('correct'));
    const sites = [...new Set(own.map(({ site }) => site))];
    if (sites.length === 0) return [];
    return [
      {
        name: `corruptions-${task}`,
        svg: layerProfiles({
          title: `${task}: corruptions compared at the correct option`,
          subtitle: modelTitle(record.settings.model),
          n: selected.length,
          noiseFloor,
          label: METRIC_LABELS[metric],
          panels: sites.map((site) => ({
            title: siteName(site),
            series: Object.fromEntries(
              own
                .filter((entry) => entry.site === site)
                .map((entry) => [
                  CORRUPTION_NAMES[entry.corruption],
                  layerProfile(entry, 'correct', { seed: record.settings.seed, resamples: RESAMPLES }),
                ]),
            ),
          })),
        }),
      },
    ];
  });
}

async function overlays(analysis: Analysis, task: string): Promise<string | undefined> {
  const { attention, pairs, heads, record } = analysis;
  const source =
    heads.find((entry) => entry.task === task && entry.corruption === 'sip') ??
    heads.find((entry) => entry.task === task);
  const found = attention.get(task);
  if (!source || !found) return undefined;
  const chosen = rankedHeads(source, record.settings.statistic).slice(0, OVERLAY_HEADS);
  const rows = (pairs.get(task) ?? []).slice(0, OVERLAY_SAMPLES).flatMap((pair) => {
    const of = found.get(pair.id);
    return of ? [{ pair, of }] : [];
  });
  if (rows.length === 0) return undefined;
  return overlayFigure({
    title: `${task}: where the strongest heads look`,
    subtitle: `${modelTitle(record.settings.model)}, attention from the correct option to the image`,
    caption:
      'Attention at the correct option in the prompt minus the mean over all heads of all layers; the image class token is left out.',
    n: rows.length,
    rows: await Promise.all(
      rows.map(async ({ pair, of }) => {
        const side = Math.round(Math.sqrt(of.patches));
        const { image, box } = await shown(pair, record.model.family);
        return {
          image,
          label: `${pair.cleanPrompt} ${pair.correct}`,
          ...(box ? { box } : {}),
          overlays: chosen.map((head) => ({
            title: headLabel(head),
            grid: attentionOverlay(of, head, { rows: side, columns: side }),
          })),
        };
      }),
    ),
  });
}

/** A sample's clean image as the model sees it, with the box of what is asked about. */
async function shown(pair: Pair, family: string): Promise<{ image: RgbImage; box: Box | undefined }> {
  const image = await readImage(pair.cleanImage);
  const box = questionBox(pair)?.box;
  const side = Math.min(image.width, image.height);
  if (family === 'llava') {
    const [left, top] = [Math.floor((image.width - side) / 2), Math.floor((image.height - side) / 2)];
    return {
      image: crop(image, left, top, side),
      box: box && [box[0] - left, box[1] - top, box[2] - left, box[3] - top],
    };
  }
  const [sx, sy] = [side / image.width, side / image.height];
  return {
    image: resize(image, side, side, 'bicubic'),
    box: box && [box[0] * sx, box[1] * sy, box[2] * sx, box[3] * sy],
  };
}

function crop(image: RgbImage, left: number, top: number, side: number): RgbImage {
  const data = new Uint8Array(3 * side * side);
  for (let y = 0; y < side; y++) {
    const first = 3 * ((top + y) * image.width + left);
    data.set(image.data.subarray(first, first + 3 * side), 3 * side * y);
  }
  return { width: side, height: side, data };
}

function modelName({ record }: Analysis): string {
  return modelTitle(record.settings.model);
}
