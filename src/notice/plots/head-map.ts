// Head maps: layers × heads, with the heads that stand out (paper, Figure 5).

import * as Plot from '@observablehq/plot';
import { type CellMetric, METRIC_LABELS } from '../../analysis/cell.ts';
import {
  HEAD_CLASSES,
  type Head,
  type HeadClass,
  type UniversalHeads,
} from '../../analysis/universal-heads.ts';
import { cellGrid, decimalsFor, noiseNotes } from './cell-grid.ts';
import { effectScale } from './colors.ts';
import { colorBar, type Drawing, type FigureText, legend } from './figure.ts';
import { svgElement } from './svg.ts';
import { INK } from './theme.ts';

export interface HeadMap extends Omit<FigureText, 'n'> {
  readonly result: UniversalHeads;
  /** What the scores are means of. Default LD′ − LD*. */
  readonly metric?: CellMetric;
  /** What a frame says. Default that the head is at or above mean + 2 standard deviations. */
  readonly frameLabel?: string;
  /** Write the score into each cell. */
  readonly labelled?: boolean;
}

/** Letters of the bundled font, told apart by shape alone. */
const SIGNS: Readonly<Record<HeadClass | 'universal', string>> = {
  'vision-only': '●',
  'text-only': '■',
  multimodal: '◆',
  universal: '★',
};

/**
 * A row per task, a column per modality. Heads at or above the panel's threshold are framed; universal heads carry the
 * sign of their class in the panels of the modalities in which they are universal.
 */
export function headMap(figure: HeadMap): Drawing {
  const { result, metric = 'ld_effect', labelled = false } = figure;
  const { selections, statistic } = result;
  const signed = statistic === 'signed';
  const allScores = selections.flatMap(({ scores }) => scores.flat());
  const scale = effectScale(allScores, signed);
  const tasks = [...new Set(selections.map(({ task }) => task))];
  const modalities = [...new Set(selections.map(({ modality }) => modality))];
  const columns = Math.max(...selections.map(({ scores }) => scores[0]?.length ?? 0));
  const cell = labelled ? 42 : Math.min(34, Math.max(14, Math.round(300 / columns)));
  const cellHeight = Math.min(cell, 28);

  const absolute = signed
    ? METRIC_LABELS[metric]
    : METRIC_LABELS[metric].replace(/^(.*?)( \(\w+\))?$/, '|$1|$2');

  const grid = tasks.map((task) =>
    modalities.map((modality) => {
      const panel = selections.find((entry) => entry.task === task && entry.modality === modality);
      if (!panel) return undefined;
      return cellGrid({
        title: `${task} · ${modality}`,
        rows: panel.scores.map((_, layer) => String(layer)),
        columns: Array.from({ length: columns }, (_, head) => String(head)),
        values: panel.scores,
        rowLabel: 'layer',
        columnLabel: 'head',
        label: `mean ${absolute}`,
        cellName: (layer, head) => `L${layer}.H${head}`,
        scale,
        cellWidth: cell,
        cellHeight,
        decimals: labelled ? decimalsFor(allScores) : undefined,
        noiseFloor: figure.noiseFloor,
        marks: headMarks(
          panel.passing,
          signedHeads(result, modality),
          labelled ? { width: cell, height: cellHeight } : undefined,
        ),
      });
    }),
  );

  const counts = selections.map(({ n }) => n);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return {
    ...figure,
    n: least === most ? most : `${least} to ${most} samples`,
    legends: [[colorBar(scale, `mean ${absolute}`)], signLegend(result, figure.frameLabel)],
    panels: grid,
    notes: noiseNotes(allScores, figure.noiseFloor),
  };
}

/** Frames of heads that pass, signs of universal ones: in a corner of the cell where its value is written. */
function headMarks(
  passing: readonly Head[],
  signs: readonly { readonly head: Head; readonly sign: string }[],
  label: { readonly width: number; readonly height: number } | undefined,
): Plot.Markish[] {
  return [
    Plot.cell(passing.map(named), {
      x: 'head',
      y: 'layer',
      fill: 'none',
      stroke: 'black',
      strokeWidth: 1.75,
      inset: 1.25,
      pointerEvents: 'none',
    }),
    Plot.text(
      signs.map(({ head, sign }) => ({ ...named(head), sign })),
      {
        x: 'head',
        y: 'layer',
        text: 'sign',
        fill: 'black',
        stroke: 'white',
        strokeWidth: 2.5,
        fontSize: label ? 9 : 12,
        dx: label ? label.width / 2 - 7 : 0,
        dy: label ? 6 - label.height / 2 : 0,
        pointerEvents: 'none',
      },
    ),
  ];
}

function named({ layer, head }: Head): { layer: string; head: string } {
  return { layer: String(layer), head: String(head) };
}

/** The universal heads of a modality, by class where the classes are known. */
function signedHeads({ classes, universal }: UniversalHeads, modality: 'image' | 'text') {
  if (!classes) return (universal[modality] ?? []).map((head) => ({ head, sign: SIGNS.universal }));
  const shown = [modality === 'image' ? 'vision-only' : 'text-only', 'multimodal'] as const;
  return shown.flatMap((name) => classes[name].map((head) => ({ head, sign: SIGNS[name] })));
}

/** Only of what is in the figure. */
function signLegend({ classes, universal }: UniversalHeads, frameLabel = 'at or above mean + 2 sd') {
  const used = classes
    ? HEAD_CLASSES.filter((name) => classes[name].length > 0)
    : Object.values(universal).some((heads) => heads.length > 0)
      ? (['universal'] as const)
      : [];
  const frame = svgElement('rect', {
    x: -6,
    y: -6,
    width: 12,
    height: 12,
    fill: 'none',
    stroke: INK,
    'stroke-width': 1.75,
  });
  return legend([
    { name: frameLabel, swatch: frame },
    ...used.map((name) => ({
      name: name === 'universal' ? 'universal in this modality' : `universal, ${name}`,
      swatch: svgElement('text', { y: 4, 'text-anchor': 'middle', 'font-size': 12 }, SIGNS[name]),
    })),
    ...(used.length === 0
      ? [{ name: 'no head is universal', swatch: svgElement('text', { y: 4, 'text-anchor': 'middle' }, '∅') }]
      : []),
  ]);
}
