// MIT-States (Isola et al., 2015): one folder for each state and noun, "ripe apple/". The question asks for the state.

import { type BuildOptions, type BuildResult, type LabelledImage, pairImages } from './counterpart.ts';
import { type FolderImage, imageIds, listImages } from './images.ts';
import type { Drop } from './report.ts';
import { STATES, type StateTable, similarStates, stateGroup } from './states.ts';
import { cosineSimilarity, readWordVectors, type WordVectors } from './word2vec.ts';

export interface MitStatesOptions extends BuildOptions {
  /** Default: the paper's. */
  readonly states?: StateTable;
  /** Excludes also states whose word vectors are as similar as `threshold` or more. Note that antonyms are similar, too. */
  readonly similarity?: { readonly vectors: WordVectors; readonly threshold: number };
}

/**
 * Pairs from a folder of `state noun/` folders: "Is this apple ripe or unripe?", the corrupt image being the same noun in
 * another state that is not similar. Categories: color, shape, texture (the correct state's).
 * Drops: those of `listImages` and `pairImages`, "not-in-state-folder", "state-not-used" (in no group of the table).
 */
export async function buildMitStates(folder: string, options: MitStatesOptions): Promise<BuildResult> {
  const table = options.states ?? STATES;
  const { images, drops } = await listImages(folder);
  const labelled: LabelledImage[] = [];
  const unused: Drop[] = [];
  const ids = imageIds(images);
  for (const [index, image] of images.entries()) {
    const label = labelOf(image, table);
    if ('reason' in label) unused.push({ source: image.path, ...label });
    else labelled.push({ id: ids[index] as string, file: image.file, ...label });
  }
  const states = Object.values(table.groups).flat();
  const similar = similarity(table, options.similarity);
  const { pairs, report } = pairImages(labelled, {
    ...options,
    name: 'mit-states',
    allowed: (state, other) => !similar(state, other),
    prompt: ({ group: noun }, first, second) => `Is this ${noun} ${first} or ${second}?`,
    pool: () => states,
    similar,
  });
  const all = [...drops, ...unused, ...report.drops];
  return { pairs, report: { read: images.length + drops.length, kept: pairs.length, drops: all } };
}

/** The vectors of all states of a table, from a word2vec binary. States that the file lacks are judged by the table alone. */
export function readStateVectors(file: string, table: StateTable = STATES): Promise<WordVectors> {
  return readWordVectors(file, Object.values(table.groups).flat());
}

function similarity(
  table: StateTable,
  byVector: MitStatesOptions['similarity'],
): (a: string, b: string) => boolean {
  return (a, b) => {
    if (similarStates(a, b, table)) return true;
    const [va, vb] = [byVector?.vectors.get(a), byVector?.vectors.get(b)];
    return (
      va !== undefined && vb !== undefined && cosineSimilarity(va, vb) >= (byVector?.threshold as number)
    );
  };
}

function labelOf(
  { path }: FolderImage,
  table: StateTable,
): Pick<LabelledImage, 'group' | 'label' | 'category'> | Omit<Drop, 'source'> {
  const [, state, noun] = /(?:^|\/)([^/ ]+) ([^/]+)\/[^/]+$/.exec(path) ?? [];
  if (state === undefined || noun === undefined) {
    return { reason: 'not-in-state-folder', detail: 'its folder is not named "state noun"' };
  }
  const category = stateGroup(state, table);
  if (!category) return { reason: 'state-not-used', detail: `"${state}" is in no group of states` };
  return { group: noun.trim().replaceAll('_', ' '), label: state, category };
}
