// Where the strongest heads look, on samples' images.

import { attentionOverlay } from '../../analysis/overlay.ts';
import { headLabel } from '../../analysis/universal-heads.ts';
import type { Drawing } from '../plots/figure.ts';
import { overlayFigure } from '../plots/overlay.ts';
import { inView } from '../plots/view.ts';
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
        const { image, box } = inView(await cleanImage(record, task, pair), grid.box, questionBox(pair)?.box);
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
