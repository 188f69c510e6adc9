// What a user may have meant by a path that does not exist.

import { readdir } from 'node:fs/promises';
import { join, normalize, parse, sep } from 'node:path';

/** Of a name's characters the share that may differ. */
const TYPO_SHARE = 1 / 4;

/**
 * A question to end a message with, " Did you mean data/scenes.csv?", if at every level of the path there is the name itself
 * or one that differs in a quarter of its characters at most; else nothing.
 */
export async function didYouMean(path: string): Promise<string> {
  const { root } = parse(path);
  let found = root;
  for (const name of normalize(path).slice(root.length).split(sep).filter(Boolean)) {
    const near = await nearestName(found || '.', name);
    if (near === undefined) return '';
    found = join(found, near);
  }
  return found === normalize(path) ? '' : ` Did you mean ${found}?`;
}

/** What a folder has under a name or one that is nearly it. */
export async function nearestName(folder: string, name: string): Promise<string | undefined> {
  if (name === '.' || name === '..') return name;
  const names = await readdir(folder).catch((): string[] => []);
  if (names.includes(name)) return name;
  const { distance } = await import('fastest-levenshtein');
  const most = Math.max(1, Math.floor(name.length * TYPO_SHARE));
  const [nearest] = names
    .map((other) => ({ other, typos: distance(name.toLowerCase(), other.toLowerCase()) }))
    .filter(({ typos }) => typos <= most)
    .sort((a, b) => a.typos - b.typos);
  return nearest?.other;
}
