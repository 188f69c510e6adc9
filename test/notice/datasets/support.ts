// Small generated data for the data set tests.

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import sharp from 'sharp';
import { onTestFinished } from 'vitest';
import type { Drop, Encode } from '../../../src/notice/datasets/index.ts';

/** A fresh folder that goes when the test ends. */
export async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'notice-data-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** An 8 × 8 image of one colour; the extension says which format. */
export async function writeImage(file: string, color = '#c04020'): Promise<string> {
  await mkdir(dirname(file), { recursive: true });
  await sharp({ create: { width: 8, height: 8, channels: 3, background: color } }).toFile(file);
  return file;
}

export async function writeText(file: string, text: string | Uint8Array): Promise<string> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  return file;
}

/** Stands in for a tokenizer: short words are one token, longer ones two or more, "?" one of its own. */
export function encode(text: string): ReturnType<Encode> {
  const pieces = [...text.matchAll(/[\p{L}\p{N}'-]{1,8}|[^\s\p{L}\p{N}]/gu)];
  return {
    text,
    tokens: pieces.map(([token]) => token),
    ranges: pieces.map(({ index, 0: token }) => ({ start: index, end: index + token.length })),
  };
}

export const reasons = (drops: readonly Drop[]): string[] => drops.map(({ reason }) => reason).sort();
