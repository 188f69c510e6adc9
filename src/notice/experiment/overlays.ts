// Where the strongest heads look, on samples' images.

import { attentionOverlay } from '../../analysis/overlay.ts';
import type { Box } from '../../analysis/patch-grid.ts';
import { headLabel } from '../../analysis/universal-heads.ts';
import { type RgbImage, resize } from '../../inputs/index.ts';
import type { Pair } from '../datasets/index.ts';
import type { Drawing } from '../plots/figure.ts';
import { overlayFigure } from '../plots/overlay.ts';
import { type Analysis, cleanImage } from './analyse.ts';
import { largestGrid } from './attention.ts';
import { questionBox } from './boxes.ts';
import { rankedHeads } from './ranking.ts';
import { modelTitle } from './settings.ts';
import { POSITION_NAMES } from './titles.ts';

/** Heads of a figure. */
const OVERLAY_HEADS = 4;

/**
 * The images of a task's first samples, and where the heads look that are strongest where the attention was taken.
 * Undefined for a task without attention.
 */
export async function overlayDrawing(analysis: Analysis, task: string): Promise<Drawing | undefined> {
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
    subtitle: `${modelTitle(record.settings.model)}, attention from ${POSITION_NAMES[attentionPosition]} to the image`,
    caption:
      `Attention to the picture's patches at ${POSITION_NAMES[attentionPosition]} minus the mean over all heads of all ` +
      'layers.',
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
