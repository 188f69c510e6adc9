// Manifests on disk. In memory a pair's image paths are absolute, so that they can be opened as they are.

import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';
import { didYouMean } from '../../platform/node/near-path.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { decodeUtf8 } from '../../weights/utf8.ts';
import { DataError } from './errors.ts';
import { formatManifest, formatMetadata, parseManifest, parseMetadata } from './manifest.ts';
import type { Pair, PairMetadata } from './pair.ts';
import { type BuildReport, type Drop, listDrops } from './report.ts';

export interface ReadManifestOptions {
  /**
   * JSON lines of metadata. Default: the CSV's neighbour with the same stem, or the folder's only .jsonl if it has a
   * line for one of the rows; else none.
   */
  readonly metadata?: string;
}

/**
 * Reads a manifest and its metadata, and looks for every image file. Rows that cannot be used are left out and reported:
 * those of `parseManifest`, and "image-missing".
 * @throws DataError a broken table or metadata file, or no row that can be used (with all `problems`)
 */
export async function readManifest(
  file: string,
  options: ReadManifestOptions = {},
): Promise<{ pairs: Pair[]; report: BuildReport }> {
  const folder = dirname(resolve(file));
  const text = await readText(file);
  const { rows, problems } = parseManifest(text, file, await findMetadata(file, text, options.metadata));
  const images = rows.flatMap(({ pair }) => [pair.cleanImage, pair.corruptImage]);
  const missing = await missingFiles(folder, images);
  const drops: Drop[] = [...problems];
  const pairs: Pair[] = [];
  for (const { source, pair } of rows) {
    const absent = [pair.cleanImage, pair.corruptImage].find((image) => missing.has(image));
    if (absent) {
      drops.push({
        source,
        reason: 'image-missing',
        detail: `there is no image file "${absent}" in ${folder}`,
      });
    } else {
      const { cleanImage, corruptImage } = pair;
      pairs.push({
        ...pair,
        cleanImage: join(folder, cleanImage),
        corruptImage: join(folder, corruptImage),
      });
    }
  }
  if (pairs.length === 0)
    throw new DataError(`${file} has no row that can be used:\n${listDrops(drops)}`, { problems: drops });
  return { pairs, report: { read: rows.length + problems.length, kept: pairs.length, drops } };
}

/**
 * Writes the CSV and its metadata (same stem, .jsonl), making the folder if need be.
 * @throws DataError two pairs with one id, or an image outside the manifest's folder
 */
export async function writeManifest(file: string, pairs: readonly Pair[]): Promise<void> {
  const folder = dirname(resolve(file));
  const ids = new Set<string>();
  const written = pairs.map((pair) => {
    if (ids.has(pair.id)) throw new DataError(`Two pairs have the id "${pair.id}": ${file} was not written.`);
    ids.add(pair.id);
    return {
      ...pair,
      cleanImage: pathInside(folder, pair.cleanImage),
      corruptImage: pathInside(folder, pair.corruptImage),
    };
  });
  await writeWhole(metadataFile(file), formatMetadata(written));
  await writeWhole(file, formatManifest(written)); // last: with it all is there
}

const metadataFile = (csv: string): string => `${csv.replace(/\.csv$/i, '')}.jsonl`;

function pathInside(folder: string, image: string): string {
  const path = relative(folder, resolve(image)).split(sep).join('/');
  if (path.startsWith('../') || path === resolve(image)) {
    throw new DataError(`The image ${image} lies outside ${folder}. Write the manifest above its images.`);
  }
  return path;
}

async function findMetadata(
  file: string,
  text: string,
  given: string | undefined,
): Promise<Map<string, PairMetadata> | undefined> {
  if (given !== undefined) return parseMetadata(await readText(given), given);
  const folder = dirname(resolve(file));
  const candidates = (await readdir(folder)).filter((name) => name.endsWith('.jsonl'));
  const own = basename(metadataFile(file));
  if (candidates.includes(own)) return parseMetadata(await readText(join(folder, own)), join(folder, own));
  if (candidates.length !== 1) return undefined;
  const shared = join(folder, candidates[0] as string);
  const lines = await readText(shared);
  if (!/^\s*\{\s*"id"\s*:/.test(lines)) return undefined; // a log, not metadata
  const metadata = parseMetadata(lines, shared);
  const { rows } = parseManifest(text, file);
  return rows.some(({ names }) => names.some((name) => metadata.has(name))) ? metadata : undefined;
}

async function readText(file: string): Promise<string> {
  const bytes = await readFile(file).catch(async (cause: Error) => {
    throw new DataError(`${file} cannot be read: ${cause.message}${await didYouMean(file)}`, { cause });
  });
  try {
    return decodeUtf8(bytes);
  } catch (cause) {
    throw new DataError(`${file} ${(cause as Error).message}. Save it as UTF-8.`, { cause });
  }
}

async function missingFiles(folder: string, images: readonly string[]): Promise<Set<string>> {
  const missing = new Set<string>();
  for (const image of new Set(images)) {
    const info = await stat(join(folder, image)).catch(() => undefined);
    if (!info?.isFile()) missing.add(image);
  }
  return missing;
}
