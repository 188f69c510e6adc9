// SVO-Probes (Hendricks and Nematzadeh, 2021): a positive and a negative image whose subject-verb-object triplets differ
// in one word. This file reads svo_probes.csv; svo-pairs.ts makes pairs of its rows.

import { createHash } from 'node:crypto';
import { streamTable, type TableRow } from './csv.ts';
import type { ImageDownload } from './download.ts';
import type { Drop } from './report.ts';
import { ROLES, type Role, type Triplet } from './svo-grammar.ts';

const COLUMNS = [
  'pos_triplet',
  'neg_triplet',
  'subj_neg',
  'verb_neg',
  'obj_neg',
  'pos_url',
  'neg_url',
] as const;

/** One side of a row: what the image shows, its file's name without extension, and where it is to be had. */
export interface SvoImage {
  readonly triplet: Triplet;
  readonly name: string;
  readonly url: string;
}

export interface SvoRow {
  readonly source: string;
  readonly index: number;
  /** The one word in which the triplets differ. */
  readonly role: Role;
  readonly positive: SvoImage;
  readonly negative: SvoImage;
}

/**
 * Reads svo_probes.csv. An image's name is its id (pos_image_id, neg_image_id) if the file has them, else a hash of its URL.
 * Drops: "cell-count"; "bad-flags" (not exactly one of subj_neg, verb_neg, obj_neg is true); "bad-triplet" (none in the
 * cell); "not-one-difference" (no triplet of the one cell differs from one of the other in just the flagged word);
 * "person" (in a triplet: NOTICE found choices such as "woman or person" answered inconsistently); "no-image".
 * @throws DataError unreadable, or a column missing
 */
export async function readSvo(file: string): Promise<{ rows: SvoRow[]; read: number; drops: Drop[] }> {
  const rows: SvoRow[] = [];
  const drops: Drop[] = [];
  let read = 0;
  for await (const row of streamTable(file, COLUMNS, drops)) {
    read++;
    const decoded = decodeRow(row);
    if ('reason' in decoded) drops.push({ source: row.source, ...decoded });
    else rows.push(decoded);
  }
  return { rows, read: read + drops.filter(({ reason }) => reason === 'cell-count').length, drops };
}

/** Every image of the rows once, for `downloadImages`. */
export function svoDownloads(rows: readonly SvoRow[]): ImageDownload[] {
  const byName = new Map<string, ImageDownload>();
  for (const { positive, negative } of rows) {
    for (const { name, url } of [positive, negative]) if (url) byName.set(name, { name, url });
  }
  return [...byName.values()];
}

/**
 * The triplets of a cell, lower-case, in the file's several spellings: `girl,sit,grass`, `['girl,sit,grass', …]`,
 * `['girl', 'sit', 'grass']`, lists in quotes within lists; `[]` and `['[]']` have none.
 */
export function parseTriplets(cell: string): Triplet[] {
  const text = cell.trim();
  if (!text.startsWith('[')) return asTriplet(text.split(','));
  const literals = [...text.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs)].map((match) =>
    (match[1] ?? match[2] ?? '').replace(/\\(.)/gs, '$1'),
  );
  if (literals.length === 0) {
    const inner = text.slice(1).replace(/\]$/, '');
    return inner.trim() === '' ? [] : parseTriplets(inner);
  }
  if (literals.every((literal) => !/[,[\]]/.test(literal))) return asTriplet(literals);
  return literals.flatMap(parseTriplets);
}

function asTriplet(parts: readonly string[]): Triplet[] {
  const words = parts.map((part) => part.replaceAll('_', ' ').replace(/\s+/g, ' ').trim().toLowerCase());
  const sound = words.length === 3 && words.every((word) => /\p{L}/u.test(word) && !/[[\]{}"]/.test(word));
  return sound ? [words as unknown as Triplet] : [];
}

function decodeRow({ source, index, cells }: TableRow): SvoRow | Omit<Drop, 'source'> {
  const flags = ROLES.map((_, i) => /^(true|1)$/i.test((cells[COLUMNS[i + 2] as string] as string).trim()));
  if (flags.filter(Boolean).length !== 1) {
    const detail = `subj_neg, verb_neg, obj_neg are ${flags.join(', ')}; exactly one must be true`;
    return { reason: 'bad-flags', detail };
  }
  const at = flags.indexOf(true);
  const [positives, negatives] = (['pos_triplet', 'neg_triplet'] as const).map((column) =>
    parseTriplets(cells[column] as string),
  ) as [Triplet[], Triplet[]];
  const empty = positives.length === 0 ? 'pos_triplet' : negatives.length === 0 ? 'neg_triplet' : undefined;
  if (empty) return { reason: 'bad-triplet', detail: `no triplet in ${empty}: ${cells[empty]}` };

  const differing = positives
    .flatMap((positive) => negatives.map((negative) => [positive, negative] as const))
    .find(([a, b]) => a.every((word, i) => (word === b[i]) === (i !== at)));
  if (!differing) {
    const detail = `${cells.pos_triplet} and ${cells.neg_triplet} do not differ in the ${ROLES[at]} alone`;
    return { reason: 'not-one-difference', detail };
  }
  const [positive, negative] = differing;
  if ([...positive, ...negative].some((words) => words.split(' ').includes('person'))) {
    return { reason: 'person', detail: `${positive.join(',')} and ${negative.join(',')}` };
  }
  const images = (['pos', 'neg'] as const).map((side) => imageOf(cells, side));
  const [pos, neg] = images;
  if (!pos?.name || !neg?.name) return { reason: 'no-image', detail: 'an image has neither id nor URL' };
  return {
    source,
    index,
    role: ROLES[at] as Role,
    positive: { triplet: positive, ...pos },
    negative: { triplet: negative, ...neg },
  };
}

function imageOf(cells: TableRow['cells'], side: 'pos' | 'neg'): { name: string; url: string } {
  const url = (cells[`${side}_url`] as string).trim();
  const id = /^(\d+)(?:\.0)?$/.exec((cells[`${side}_image_id`] ?? '').trim())?.[1];
  return { url, name: id ?? (url && createHash('sha256').update(url).digest('hex').slice(0, 16)) };
}
