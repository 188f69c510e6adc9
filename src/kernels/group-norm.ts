// Group normalisation of feature maps: statistics of tiles, those of groups, then the values.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import type { FeatureMaps } from './conv.ts';
import type { NormWeights } from './elementwise.ts';
import { ELEMENT_THREADS, elementGrid } from './grid.ts';
import { type Activation, kernel, reductionFor } from './source.ts';

const WG = ELEMENT_THREADS;
/** Pixels of a tile: enough to keep a workgroup busy, few enough that a small map has some. */
const TILE_ROWS = 256;

export interface GroupNormWeights extends Required<NormWeights> {
  readonly groups: number;
}

/**
 * act(torch.nn.GroupNorm(x)), of every image by itself.
 *
 * @returns [images · height · width, channels]
 * @throws ShapeError
 */
export function normalizeGroups(
  w: Work,
  { x, images, height, width }: FeatureMaps,
  { groups, scale, shift, eps }: GroupNormWeights,
  activation: Activation = 'none',
): Tensor {
  const pixels = height * width;
  const channels = x.columns;
  checkShape(
    isContiguous(x) && x.rows === images * pixels && scale.length === channels && channels % groups === 0,
    () => `group norm: ${scale.name} has ${scale.length} values in ${groups} groups, input ${shapeOf(x)}`,
  );
  const reduction = reductionFor(w.capabilities);
  const tiles = Math.ceil(pixels / TILE_ROWS);
  const count = images * groups;
  const ofTiles = w.empty(count * tiles, 2, 'statistics of tiles');
  const ofGroups = w.empty(count, 2, 'statistics of groups');
  w.dispatch(
    kernel('group_norm_tiles', [reduction.by, reduction.WG], () => ({ reduction })),
    { X: x.buffer, S: ofTiles.buffer },
    { C: channels, G: groups, P: pixels, rows: TILE_ROWS, tiles },
    [tiles, groups, images],
  );
  w.dispatch(
    kernel('group_norm_merge', [], () => ({ constants: { WG } })),
    { S: ofTiles.buffer, T: ofGroups.buffer },
    { groups: count, size: channels / groups, P: pixels, rows: TILE_ROWS, tiles, eps },
    [Math.ceil(count / WG), 1, 1],
  );
  const out = w.empty(x.rows, channels, 'normalized maps');
  const all = x.rows * channels;
  const { groups: grid, threads } = elementGrid(w, all);
  w.dispatch(
    kernel('group_norm', [activation], () => ({ constants: { WG }, activation })),
    { X: x.buffer, T: ofGroups.buffer, scale: scale.buffer, shift: shift.buffer, Y: out.buffer },
    { count: all, threads, C: channels, G: groups, P: pixels },
    grid,
  );
  w.release(ofTiles, ofGroups);
  return out;
}
