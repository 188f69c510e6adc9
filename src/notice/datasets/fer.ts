// FER-2013 (Goodfellow et al., 2013): 48 × 48 grey faces with one of seven emotions, as a CSV of pixels
// (emotion,pixels,Usage) or as folders of images named by emotion.

import { join } from 'node:path';
import sharp from 'sharp';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { type BuildOptions, type BuildResult, type LabelledImage, pairImages } from './counterpart.ts';
import { streamTable } from './csv.ts';
import { EMOTIONS, type Emotion, emotionNamed, FEELINGS, opposing, similarFeelings } from './emotions.ts';
import { imageIds, listImages } from './images.ts';
import type { BuildReport, Drop } from './report.ts';

const SIDE = 48;

export interface FerOptions extends BuildOptions {
  /** Emotion of the corrupt image: of opposing sentiment (the paper), or any other. Default "opposing". */
  readonly counterparts?: 'opposing' | 'any';
}

/**
 * Pairs from a folder of folders named by emotion, at any depth ("train/angry/3.jpg"): "Is this person feeling happy or
 * sad?" Categories: the correct emotion. Train and test images are not mixed: a counterpart comes from the same split.
 * Drops: those of `listImages` and `pairImages`, "unknown-emotion" (no folder in the path names one).
 */
export async function buildFer(folder: string, options: FerOptions): Promise<BuildResult> {
  const { images, drops } = await listImages(folder);
  const labelled: LabelledImage[] = [];
  const unknown: Drop[] = [];
  const ids = imageIds(images);
  for (const [index, { file, path }] of images.entries()) {
    const folders = path.split('/').slice(0, -1);
    const at = folders.findLastIndex((name) => emotionNamed(name));
    if (at < 0) {
      unknown.push({
        source: path,
        reason: 'unknown-emotion',
        detail: 'no folder of its path names an emotion',
      });
      continue;
    }
    const emotion = emotionNamed(folders[at] as string) as Emotion;
    const group = folders.slice(0, at).join('/');
    labelled.push({ id: ids[index] as string, file, group, label: emotion, category: emotion });
  }
  const { pairs, report } = pairImages(labelled, {
    ...options,
    name: 'fer',
    allowed: (emotion, other) =>
      options.counterparts === 'any' || opposing(emotion as Emotion, other as Emotion),
    prompt: (_, first, second) => `Is this person feeling ${first} or ${second}?`,
    pool: () => FEELINGS,
    similar: similarFeelings,
  });
  const all = [...drops, ...unknown, ...report.drops];
  return { pairs, report: { read: images.length + drops.length, kept: pairs.length, drops: all } };
}

/**
 * Writes the faces of FER-2013's CSV as PNG files `{folder}/{Usage}/{emotion}/{row}.png`, rows from 00000, which is the
 * folder form. Drops: "cell-count", "bad-emotion", "bad-usage", "bad-pixels" (not 48 × 48 whole numbers from 0 to 255),
 * "blank" (all pixels equal: the published file has some).
 */
export async function extractFer(csv: string, folder: string): Promise<BuildReport> {
  const drops: Drop[] = [];
  let kept = 0;
  let read = 0;
  for await (const { source, index, cells } of streamTable(csv, ['emotion', 'pixels', 'Usage'], drops)) {
    read++;
    const face = decodeFace(cells as { emotion: string; pixels: string; Usage: string });
    if ('reason' in face) {
      drops.push({ source, ...face });
      continue;
    }
    const folderOfFace = join(folder, face.usage, face.emotion);
    const raw = { width: SIDE, height: SIDE, channels: 1 } as const;
    const file = join(folderOfFace, `${String(index).padStart(5, '0')}.png`);
    await writeWhole(file, await sharp(face.pixels, { raw }).toColourspace('b-w').png().toBuffer());
    kept++;
  }
  const broken = drops.filter(({ reason }) => reason === 'cell-count').length;
  return { read: read + broken, kept, drops };
}

function decodeFace(cells: {
  readonly emotion: string;
  readonly pixels: string;
  readonly Usage: string;
}): { emotion: Emotion; usage: string; pixels: Uint8Array } | Omit<Drop, 'source'> {
  const emotion = /^\d$/.test(cells.emotion) ? EMOTIONS[Number(cells.emotion)] : undefined;
  if (!emotion) return { reason: 'bad-emotion', detail: `emotion is "${cells.emotion}", not 0 to 6` };
  // It becomes a folder.
  if (!/^[A-Za-z]+$/.test(cells.Usage)) return { reason: 'bad-usage', detail: `Usage is "${cells.Usage}"` };
  const values = cells.pixels.trim().split(/\s+/);
  if (values.length !== SIDE * SIDE) {
    return { reason: 'bad-pixels', detail: `${values.length} pixels, not ${SIDE} × ${SIDE}` };
  }
  const odd = values.find((value) => !/^\d{1,3}$/.test(value) || Number(value) > 255);
  if (odd !== undefined) return { reason: 'bad-pixels', detail: `a pixel is "${odd}", not 0 to 255` };
  const pixels = Uint8Array.from(values, Number);
  if (pixels.every((value) => value === pixels[0])) {
    return { reason: 'blank', detail: `all pixels are ${pixels[0]}` };
  }
  return { emotion, usage: cells.Usage, pixels };
}
