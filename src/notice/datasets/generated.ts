// Generated counterparts (paper, appendix D): a folder of inpainted images takes the place of a manifest's corrupt images.

import { imagesByStem, listImages, stem } from './images.ts';
import type { Pair } from './pair.ts';
import type { BuildReport, Drop } from './report.ts';

/**
 * Gives each pair the generated image named by its id, by its clean image or by its corrupt image, in this order and
 * without extension: "svo-00012-pos.png", "12.png".
 * Drops: those of `listImages` and `imagesByStem`; "generated-missing" (a pair without image), "generated-unused" (an image
 * without pair); "ambiguous-image" (a clean or corrupt image's name, where images of that name lie in different folders).
 */
export async function withGeneratedImages(
  pairs: readonly Pair[],
  folder: string,
): Promise<{ pairs: Pair[]; report: BuildReport }> {
  const listed = await listImages(folder);
  const { byStem, drops: ambiguous } = imagesByStem(listed.images);
  const drops: Drop[] = [...listed.drops, ...ambiguous];
  const shared = sharedNames(pairs);
  const kept: Pair[] = [];
  const used = new Set<string>();
  for (const pair of pairs) {
    const names = [pair.id, stem(pair.cleanImage), stem(pair.corruptImage)];
    const name = names.find((candidate) => byStem.has(candidate));
    if (name === undefined) {
      const detail = `no image named ${[...new Set(names)].join(' or ')} in ${folder}`;
      drops.push({ source: pair.id, reason: 'generated-missing', detail });
    } else if (name !== pair.id && shared.has(name)) {
      used.add(name);
      const detail = `${name} is the name of images in different folders; name the generated one ${pair.id}`;
      drops.push({ source: pair.id, reason: 'ambiguous-image', detail });
    } else {
      used.add(name);
      // What is known of the replaced image does not hold for the generated one.
      const metadata = { ...pair.metadata, corrupt: undefined, generated: true };
      kept.push({ ...pair, corruptImage: byStem.get(name)?.file as string, metadata });
    }
  }
  for (const [name, { path }] of byStem) {
    if (!used.has(name))
      drops.push({ source: path, reason: 'generated-unused', detail: 'no pair is named so' });
  }
  return { pairs: kept, report: { read: pairs.length, kept: kept.length, drops } };
}

/** File names that different image files of the pairs share. */
function sharedNames(pairs: readonly Pair[]): Set<string> {
  const fileOf = new Map<string, string>();
  const shared = new Set<string>();
  for (const file of pairs.flatMap(({ cleanImage, corruptImage }) => [cleanImage, corruptImage])) {
    const name = stem(file);
    if (fileOf.has(name) && fileOf.get(name) !== file) shared.add(name);
    fileOf.set(name, file);
  }
  return shared;
}
