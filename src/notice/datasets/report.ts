// What a reader or builder leaves out is counted and named, never silently lost: each one returns its drops, and the
// command line prints the counts and writes the list beside the manifest.

import { writeWhole } from '../../platform/node/whole-file.ts';

/** One row, image or pair that was left out. */
export interface Drop {
  /** Where it stands: "svo_probes.csv row 14 (line 15)", or a file. */
  readonly source: string;
  /** Why, as a short name to count by: "bad-triplet", "image-missing" … */
  readonly reason: string;
  /** What was found, for a person to read. */
  readonly detail: string;
}

/** What went in, what came out, and everything that was left out on the way. */
export interface BuildReport {
  /** Rows or images read. */
  readonly read: number;
  /** Pairs kept. One row can give several. */
  readonly kept: number;
  readonly drops: readonly Drop[];
}

/** Number of drops by reason, reasons in alphabetical order. */
export function countDrops(drops: readonly Drop[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const { reason } of drops) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  return Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Writes one JSON line per drop, making the folder if need be. */
export async function writeDrops(file: string, drops: readonly Drop[]): Promise<void> {
  await writeWhole(file, drops.map((drop) => `${JSON.stringify(drop)}\n`).join(''));
}

/** The first few drops as lines of an error message. */
export function listDrops(drops: readonly Drop[], most = 10): string {
  const lines = drops.slice(0, most).map(({ source, detail }) => `  ${source}: ${detail}`);
  if (drops.length > most) lines.push(`  … and ${drops.length - most} more`);
  return lines.join('\n');
}
