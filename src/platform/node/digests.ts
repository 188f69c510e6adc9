// What the files of a model folder hold, in one number: two folders with the same digest hold the same model.

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { ModelSource } from '../../weights/model-source.ts';
import { cacheFolder } from './cache.ts';
import { writeWhole } from './whole-file.ts';

/** Files from this size on, in bytes, are read once and remembered. */
const LARGE_FILE = 2 ** 24;

/** A model folder that knows which of its files were opened. */
export function observed(source: ModelSource): { source: ModelSource; opened: ReadonlySet<string> } {
  const opened = new Set<string>();
  const open = async (file: string) => {
    const bytes = await source.open(file);
    if (bytes) opened.add(file);
    return bytes;
  };
  return { source: { name: source.name, open }, opened };
}

/** A digest of some files of a folder, by their names in it. */
export async function folderDigest(folder: string, files: Iterable<string>): Promise<string> {
  const hash = createHash('sha256');
  for (const file of [...files].sort()) hash.update(`${file}\0${await fileDigest(join(folder, file))}\0`);
  return hash.digest('hex');
}

/**
 * A digest of a file's bytes: the hub's own where the file is a link into its cache, whose blobs are named by it, else
 * SHA-256. That of a large file is remembered for as long as its size and time of change stay the same.
 */
export async function fileDigest(path: string, large = LARGE_FILE): Promise<string> {
  const real = await realpath(path);
  if (basename(dirname(real)) === 'blobs' && /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(basename(real)))
    return basename(real);
  const { size, mtimeNs } = await stat(real, { bigint: true });
  if (size < large) return hashFile(real);
  const memory = join(cacheFolder(), 'digests', createHash('sha256').update(real).digest('hex'));
  const state = `${size} ${mtimeNs}`;
  const known = await readFile(memory, 'utf8').catch(() => '');
  const [knownState, knownDigest] = known.split('\n');
  if (knownState === state && knownDigest) return knownDigest;
  const digest = await hashFile(real);
  await writeWhole(memory, `${state}\n${digest}\n`).catch(() => {}); // a cache that cannot be written costs time only
  return digest;
}

/** Hash of a file's bytes as they are now, in hex digits; of `header` and the bytes where Git's blobs are meant. */
export async function hashFile(
  path: string,
  algorithm: 'sha1' | 'sha256' = 'sha256',
  header = '',
): Promise<string> {
  const hash = createHash(algorithm).update(header);
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
