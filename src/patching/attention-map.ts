// Where heads look on an image: a head's attention pattern from some positions, as maps over the image's patches.

import { measureHead, shareInside } from '../analysis/head-measures.ts';
import {
  headPatches,
  type ImageAttention,
  imageAttention,
  minusAverage,
} from '../analysis/image-attention.ts';
import { type Box, boxCoverage } from '../analysis/patch-grid.ts';
import { mean } from '../analysis/statistics.ts';
import { checkFields, checkFlag, checkWhole } from '../check.ts';
import { NoticeError } from '../errors.ts';
import { type PatchGrid, patchGrids, type SampleInput, type VisionLanguageModel } from '../models/index.ts';
import { chosenBlocks } from './blocks.ts';
import type { CachedActivation } from './cache.ts';
import { parseSite } from './names.ts';
import { RUN_FIELDS, type RunOptions, runWithCache } from './run.ts';

/** A head of an attention, by its block and its number there. */
export interface HeadId {
  readonly layer: number;
  readonly head: number;
}

export interface AttentionOptions extends RunOptions {
  /**
   * Its hook points without block and `hook_…`: `text_encoder.cross_attn`, `language.attn`, `vision.attn`. Default the one
   * that reads the image (`model.imageAttention`).
   */
  readonly attention?: string | undefined;
  /**
   * Positions that attend, of which the mean is taken: tokens of the prompt, queries of a Q-Former, and of `vision.attn`
   * positions of the vision tower, as the keys of `patchGrids(model, sample, 'vision.attn')` number them. Default all.
   */
  readonly from?: number | readonly number[] | undefined;
  /** Blocks; default all that have this attention. */
  readonly layers?: readonly number[] | undefined;
}

/** Where all heads of some layers look in one sample: [layer, head, patch], the patches those of the grids in order. */
export interface SampleAttention extends ImageAttention {
  /** Which blocks the layers are. */
  readonly blocks: readonly number[];
  readonly grids: readonly PatchGrid[];
}

/**
 * Attention of every head to every patch of a sample's images. One forward pass as far as the last layer asked for; of
 * the patterns only the rows of `from` are kept.
 *
 * @param given one sample, or several that are run together: then interventions can take values of one run into another, as in
 *   `runWithHooks`
 * @returns the mean over `from`; what a head's values are missing to 1 lies on keys that are no patches. Of several samples
 *   that of each
 * @throws NoticeError('hook') for an attention that has no patches for its keys, a block or position that does not exist;
 *   as `runWithCache`
 */
export async function attentionToImage(
  model: VisionLanguageModel,
  given: SampleInput,
  options?: AttentionOptions,
): Promise<SampleAttention>;
export async function attentionToImage(
  model: VisionLanguageModel,
  given: readonly SampleInput[],
  options?: AttentionOptions,
): Promise<SampleAttention[]>;
export async function attentionToImage(
  model: VisionLanguageModel,
  given: SampleInput | readonly SampleInput[],
  options: AttentionOptions = {},
): Promise<SampleAttention | SampleAttention[]> {
  checkFields(options, 'the options', ['attention', 'from', 'layers', ...RUN_FIELDS]);
  const many = Array.isArray(given);
  const found = await attentionsToImage(model, many ? given : [given as SampleInput], options);
  return many ? found : (found[0] as SampleAttention);
}

async function attentionsToImage(
  model: VisionLanguageModel,
  samples: readonly SampleInput[],
  { attention = model.imageAttention, from, layers, ...options }: AttentionOptions,
): Promise<SampleAttention[]> {
  const grids = samples.map((sample) => patchGrids(model, sample, attention));
  const site = parseSite(model, `${attention}.hook_pattern`);
  const blocks = chosenBlocks(model, site, layers);
  if (blocks.length === 0) throw new NoticeError('hook', `${attention}: no blocks to look at`);
  const queries = from === undefined ? undefined : [from].flat();
  const names = blocks.map((layer) => `${site.tower}.blocks.${layer}.${site.hook}`);
  const { cache } = await runWithCache(model, samples, {
    ...options,
    names,
    stopAfter: names[blocks.indexOf(Math.max(...blocks))] as string,
    ...(queries && { queries }),
  });
  const parts = samples.map((): ImageAttention[] => []);
  try {
    for (const name of names) {
      const cached = cache.get(name);
      if (queries && cached.lengths.some((length) => length !== queries.length))
        throw new NoticeError('hook', `${name}: not all of the positions ${queries.join(', ')} attend here`);
      const values = await cached.read();
      grids.forEach((own, batch) => {
        const patches = own.flatMap(({ keys }) => keys);
        parts[batch]?.push(toPatches(cached, values, batch, queries, patches));
      });
    }
  } finally {
    cache.release();
  }
  return parts.map((layersOf, batch) => {
    const [{ heads, patches }] = layersOf as [ImageAttention];
    const data = new Float32Array(blocks.length * heads * patches);
    layersOf.forEach((part, l) => {
      data.set(part.data, l * heads * patches);
    });
    return { layers: blocks.length, heads, patches, data, blocks, grids: grids[batch] as PatchGrid[] };
  });
}

/**
 * The part of one layer's pattern that falls on patches, [head, patch], of a batch row: the mean over queries.
 *
 * @param rowsThere whether the pattern has rows of these queries alone, or all rows
 */
export function toPatches(
  { lengths, keys: keyCounts, heads, tile }: CachedActivation,
  values: Float32Array,
  batch: number,
  queries: readonly number[] | undefined,
  patches: readonly number[],
  rowsThere: 'of queries' | 'all rows' = 'of queries',
): ImageAttention {
  const positions = queries ?? Array.from({ length: lengths[batch] as number }, (_, position) => position);
  const keys = keyCounts?.[batch] as number;
  const all = Math.max(keys, ...patches.map((key) => key + 1));
  const rows = positions.length;
  // Shorter runs of a batch are filled up.
  const [wholeRows, wholeKeys] = [Math.max(...lengths), Math.max(...(keyCounts ?? []))];
  const first = batch * (values.length / lengths.length);
  // A position of a tile sees the keys of its own tile; in the order of all keys the others' are 0.
  const whole = new Float32Array(heads * rows * all);
  positions.forEach((position, i) => {
    const start = keys < all ? position - (position % keys) : 0;
    for (let h = 0; h < heads; h++) {
      const row = tile
        ? start * heads + h * tile + (position % tile)
        : h * wholeRows + (rowsThere === 'all rows' ? position : i);
      const at = first + row * wholeKeys;
      whole.set(values.subarray(at, at + keys), (h * rows + i) * all + start);
    }
  });
  const each = Array.from({ length: rows }, (_, i) => i);
  return imageAttention({ layers: [whole], heads, queries: rows, keys: all }, each, patches);
}

export interface AttentionMapOptions {
  /** One head, or several, of whose maps the mean is taken. */
  readonly head: HeadId | readonly HeadId[];
  /** Minus the mean of all heads of all layers, as in the paper's overlays (section 4.3); default false. */
  readonly minusMean?: boolean | undefined;
  /** A part of the picture, in its pixels, whose share is to be measured; `image` says which of the sample's, default 0. */
  readonly box?: { readonly box: Box; readonly image?: number } | undefined;
}

/** A grid of patches with a value for each, [row, column]. */
export interface MapGrid extends PatchGrid {
  readonly data: Float32Array;
}

/** Where some heads look. The numbers are of their mean attention, also where the maps are minus the mean of all heads. */
export interface AttentionMap {
  readonly grids: readonly MapGrid[];
  /** Attention on the patches: at most 1, the rest lies on other keys (a class token, words). */
  readonly imageMass: number;
  /** −Σ a ln a / ln patches of the attention scaled to sum to 1 over the patches: 0 one patch, 1 all alike. */
  readonly entropy: number;
  /** Share of the attention on the image that lies inside the box, and the box's share of the image, if there is a box. */
  readonly inside?: number;
  readonly chance?: number;
}

/**
 * The map of some heads, taken out of what all heads attend to.
 *
 * @throws NoticeError('hook') for a head that is not among them, ('image') for a box where no picture is known, ('data') for
 *   one that is empty
 */
export function attentionMapOf(
  attention: SampleAttention,
  { head, minusMean = false, box }: AttentionMapOptions,
): AttentionMap {
  checkFlag(minusMean, 'minusMean');
  const heads = headsOf(head);
  const values = new Float32Array(attention.patches);
  for (const one of heads) {
    const layer = checkHead(attention, one);
    headPatches(attention, layer, one.head).forEach((value, p) => {
      values[p] = (values[p] as number) + value / heads.length;
    });
  }
  const grids = onGrids(attention.grids, minusMean ? minusAverage(attention, values) : values);
  const coverage = box && coverageOf(attention.grids, box.box, box.image ?? 0);
  return {
    grids,
    ...measureHead(values),
    ...(coverage && { inside: shareInside(values, coverage), chance: mean(coverage) }),
  };
}

/**
 * Where some heads look from a position of the prompt (or of the vision tower), as maps over the image's patches, with
 * their numbers. {@link attentionToImage} gives all heads at once, {@link attentionMapOf} the map of any of them.
 *
 * @throws as these
 */
export async function attentionMap(
  model: VisionLanguageModel,
  sample: SampleInput,
  { head, minusMean, box, layers, ...options }: AttentionMapOptions & AttentionOptions,
): Promise<AttentionMap> {
  const own = [...new Set(headsOf(head).map(({ layer }) => layer))];
  const attention = await attentionToImage(model, sample, {
    ...options,
    layers: layers ?? (minusMean ? undefined : own),
  });
  return attentionMapOf(attention, { head, minusMean, box });
}

/** Values of patches, those of the grids in order, on their grids. */
export function onGrids(grids: readonly PatchGrid[], values: Float32Array): MapGrid[] {
  let end = 0;
  return grids.map((grid) => {
    const start = end;
    end += grid.keys.length;
    return { ...grid, data: values.slice(start, end) };
  });
}

/** @throws NoticeError('usage') for what is no head */
function headsOf(head: HeadId | readonly HeadId[]): readonly HeadId[] {
  const heads = [head].flat() as HeadId[];
  if (heads.length === 0) throw new NoticeError('usage', 'head: an empty list, expected one head or several');
  for (const id of heads) {
    checkFields(id, 'head', ['layer', 'head']);
    checkWhole(id.layer, 'head: layer');
    checkWhole(id.head, 'head: head');
  }
  return heads;
}

/** The layer of a head among those of the attention. */
function checkHead({ blocks, heads }: SampleAttention, id: HeadId): number {
  const layer = blocks.indexOf(id.layer);
  if (layer < 0 || id.head >= heads)
    throw new NoticeError(
      'hook',
      `there is no head ${id.head} of block ${id.layer} among ${heads} heads of block ${blocks.join(', ')}`,
    );
  return layer;
}

/** The share of each patch that a box of an image covers. */
function coverageOf(grids: readonly PatchGrid[], box: Box, image: number): Float32Array {
  checkWhole(image, 'box: image', { to: Math.max(...grids.map((grid) => grid.image)) });
  const anywhere = { width: Number.POSITIVE_INFINITY, height: Number.POSITIVE_INFINITY };
  return Float32Array.from(
    grids.flatMap((grid) => {
      if (grid.image !== image) return new Array<number>(grid.keys.length).fill(0);
      if (!grid.box)
        throw new NoticeError(
          'image',
          `box: the picture of image ${image} is not known, so no box lies on it`,
        );
      return [...boxCoverage(box, anywhere, grid, grid.box)];
    }),
  );
}
