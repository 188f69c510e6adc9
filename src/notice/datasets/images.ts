// Image files of a folder, each one decoded once: what does not decode is reported here and not in the middle of a run.

import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { type ImageFormat, imageFormat } from '../../inputs/index.ts';
import { decodeImage as decodeLikeRuns } from '../../platform/node/images.ts';
import { mapConcurrent } from './concurrent.ts';
import { DataError } from './errors.ts';
import type { Drop } from './report.ts';

const EXTENSIONS = /^\.(jpe?g|jfif|png|webp|gif|tiff?|avif)$/i;
const AT_ONCE = 4;

/** An image file beneath a folder. */
export interface FolderImage {
  /** Absolute path. */
  readonly file: string;
  /** Path from the folder, with "/": "ripe apple/3.jpg". */
  readonly path: string;
}

export interface DecodedImage {
  readonly format: ImageFormat;
  readonly width: number;
  readonly height: number;
}

/**
 * Decodes all of an image file, as a run does: what a run refuses is no image here.
 * @param name for messages
 * @returns its format and size in pixels, or in `problem` what is wrong with it
 */
export async function decodeImage(
  file: string,
  name: string = file,
): Promise<DecodedImage | { problem: string }> {
  try {
    const bytes = await readFile(file);
    const { width, height } = await decodeLikeRuns(bytes, name);
    return { format: imageFormat(bytes, name), width, height };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}

/**
 * All images beneath a folder, in the order of their paths. Drops: "not-an-image" (by extension), "bad-image" (does not
 * decode), "link" (a symbolic link to nothing, or to a folder that it lies in).
 * @throws DataError the folder cannot be read
 */
export async function listImages(folder: string): Promise<{ images: FolderImage[]; drops: Drop[] }> {
  const drops: Drop[] = [];
  const candidates: (FolderImage & { source: string })[] = [];
  for (const file of await listFiles(folder, drops)) {
    const path = relative(folder, file).split(sep).join('/');
    if (EXTENSIONS.test(extname(file))) candidates.push({ file, path, source: path });
    else drops.push({ source: path, reason: 'not-an-image', detail: extname(file) || 'no extension' });
  }
  const images = await soundImages(candidates, drops);
  return { images: images.map(({ file, path }) => ({ file, path })), drops };
}

/** Those that decode; the others are added to `drops` as "bad-image". */
export async function soundImages<T extends { readonly file: string; readonly source: string }>(
  candidates: readonly T[],
  drops: Drop[],
): Promise<T[]> {
  const decoded = await mapConcurrent(candidates, AT_ONCE, ({ file }) => decodeImage(file));
  return candidates.filter(({ source }, index) => {
    const result = decoded[index] as DecodedImage | { problem: string };
    if (!('problem' in result)) return true;
    drops.push({ source, reason: 'bad-image', detail: result.problem });
    return false;
  });
}

/** Images by file name without extension; a name that two images share is dropped: "ambiguous-name". */
export function imagesByStem(images: readonly FolderImage[]): {
  byStem: Map<string, FolderImage>;
  drops: Drop[];
} {
  const byStem = new Map<string, FolderImage>();
  const shared = new Set<string>();
  for (const image of images) {
    const name = stem(image.path);
    if (byStem.has(name)) shared.add(name);
    byStem.set(name, image);
  }
  for (const name of shared) byStem.delete(name);
  const drops = images
    .filter(({ path }) => shared.has(stem(path)))
    .map(({ path }) => ({
      source: path,
      reason: 'ambiguous-name',
      detail: `several images are named ${stem(path)}`,
    }));
  return { byStem, drops };
}

/** A file's name without folder and extension. */
export function stem(path: string): string {
  const name = path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
  return name.slice(0, name.length - extname(name).length);
}

/** A text as a file name: what is neither letter nor number becomes "-". */
export function fileName(text: string): string {
  return text.replace(/[^\p{L}\p{N}._]+/gu, '-');
}

/**
 * Ids for images from their paths, fit for file names: "ripe apple/3.jpg" → "ripe-apple-3". Where two would be the same,
 * the later one gets "-2" and so on.
 */
export function imageIds(images: readonly FolderImage[]): string[] {
  const taken = new Set<string>();
  return images.map(({ path }) => {
    const base = fileName(path.slice(0, path.length - extname(path).length));
    let id = base;
    for (let n = 2; taken.has(id); n++) id = `${base}-${n}`;
    taken.add(id);
    return id;
  });
}

/**
 * All files beneath a folder, in the order of their paths. Symbolic links are followed, also out of the folder, as
 * torchvision's ImageFolder does; one that leads to a folder it lies in, or nowhere, is added to `drops`: "link".
 */
async function listFiles(folder: string, drops: Drop[]): Promise<string[]> {
  const files: string[] = [];
  const walk = async (at: string, above: readonly string[]): Promise<void> => {
    const parents = [...above, await realpath(at)];
    for (const entry of await readdir(at, { withFileTypes: true })) {
      const file = join(at, entry.name);
      const source = relative(folder, file).split(sep).join('/');
      // An unreadable target ends the listing as an unreadable folder does; only what is not there is dropped.
      const found = entry.isSymbolicLink() ? await stat(file).catch(missing) : entry;
      if (!found) drops.push({ source, reason: 'link', detail: 'leads to nothing' });
      else if (found.isFile()) files.push(file);
      else if (!found.isDirectory())
        drops.push({ source, reason: 'not-an-image', detail: 'neither a file nor a folder' });
      else if (entry.isSymbolicLink() && parents.includes(await realpath(file)))
        drops.push({ source, reason: 'link', detail: 'leads to a folder that it lies in' });
      else await walk(file, parents);
    }
  };
  try {
    await walk(folder, []);
  } catch (error) {
    throw new DataError(`${folder} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return files.sort();
}

function missing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT' && error.code !== 'ELOOP') throw error;
}
