// The front of every model here: images to the residual stream of a vision tower.

import { checkFloats } from '../check.ts';
import { ShapeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { embedImage, embedTokens, imagePatches, matmul, type Vector, type Weight } from '../kernels/index.ts';
import type { HookInfo } from './hook-table.ts';
import { type ImageInput, sameImages, tileCount } from './image-input.ts';
import type { ModelRun } from './model.ts';
import { type Linear, type Probe, Sequence } from './tower/index.ts';

export interface VisionEmbedding {
  readonly patches: Linear;
  readonly classToken: Vector | undefined;
  readonly positions: Weight;
  readonly imageSize: number;
  readonly patchSize: number;
}

/** A tile of an image; one that is not cut is a tile itself. */
export interface Tile {
  readonly image: ImageInput;
  readonly index: number;
}

function tilesOf(images: readonly ImageInput[]): Tile[] {
  return images.flatMap((image) =>
    Array.from({ length: tileCount(image) }, (_, index) => ({ image, index })),
  );
}

function isSame(a: Tile | undefined, b: Tile): boolean {
  return a?.image === b.image && a.index === b.index;
}

/**
 * Makes the runs of the vision tower: the tiles of a sample's images one behind the other. Samples with the same images
 * share a run; one that has some tiles in common with its base, or with a sample before it, is derived from that one's run
 * and has rows for the other tiles.
 *
 * @param positions of a tile
 * @param tiled whether an image has a tile for its first dimension even if it is not cut
 * @returns the tiles in the order of their rows
 */
export function visionRuns(runs: readonly ModelRun[], positions: number, tiled = false): Tile[] {
  const rows: Tile[] = [];
  const known: { readonly tiles: readonly Tile[]; readonly sequence: Sequence }[] = [];
  for (const run of runs) {
    const { sample, base } = run;
    const departs = run.departsIn.has('vision');
    const set = (sequence: Sequence) =>
      run.towers.set('vision', departs ? new Sequence(sequence.length, { base: sequence }) : sequence);
    const above = base?.towers.get('vision');
    if (base && above && sameImages(sample, base.sample)) {
      set(above);
      continue;
    }
    const tiles = tilesOf(sample.images);
    const inCommon = (other: { readonly tiles: readonly Tile[] }) =>
      other.tiles.length === tiles.length
        ? tiles.filter((tile, t) => isSame(other.tiles[t], tile)).length
        : 0;
    const same = known.find((other) => inCommon(other) === tiles.length);
    if (same) {
      set(same.sequence);
      continue;
    }
    const near = (base && above ? [{ tiles: tilesOf(base.sample.images), sequence: above }] : known)
      .filter((other) => inCommon(other) > 0)
      .sort((a, b) => inCommon(b) - inCommon(a))[0];
    const sequence = new Sequence(tiles.length * positions, {
      base: near?.sequence,
      tile: tiled || tiles.length > 1 ? positions : undefined,
    });
    tiles.forEach((tile, t) => {
      if (isSame(near?.tiles[t], tile)) return;
      for (let p = 0; p < positions; p++) sequence.rows[t * positions + p] = rows.length * positions + p;
      rows.push(tile);
    });
    known.push({ tiles, sequence });
    set(sequence);
  }
  return rows;
}

/** Whether runs can read image features of an earlier walk: nobody looks at or departs in the towers that made them. */
export function reusable(
  features: { readonly runs: ReadonlyMap<ImageInput, Sequence> },
  towers: readonly string[],
  runs: readonly ModelRun[],
  probe: Probe,
  hooks: readonly HookInfo[],
): boolean {
  return (
    runs.every(
      ({ sample, departsIn }) =>
        sample.images.every((image) => features.runs.has(image)) &&
        !towers.some((tower) => departsIn.has(tower)),
    ) &&
    !hooks.some(
      ({ name }) =>
        towers.some((tower) => name.startsWith(`${tower}.`)) && (probe.wants(name) || probe.cuts?.(name)),
    )
  );
}

/** Embeds tiles: [tiles · positions, width]. What a picture has beyond whole patches is left out, as a convolution does. */
export function embedImages(
  w: Work,
  probe: Probe,
  tiles: readonly Tile[],
  { patches, classToken, positions, imageSize, patchSize }: VisionEmbedding,
): Tensor {
  const size = 3 * imageSize ** 2;
  [...new Set(tiles.map(({ image }) => image))].forEach((image, i) => {
    checkImage(image, i, imageSize);
  });
  const pixels = new Float32Array(tiles.length * size);
  tiles.forEach(({ image, index }, i) => {
    pixels.set(image.data.subarray(index * size, (index + 1) * size), i * size);
  });
  const input = w.upload(pixels, tiles.length, size, 'pixel values');
  const parts = tiles.map(({ image, index }) => ({ image, first: index * size, count: size }));
  probe.pixels?.(input, parts);
  const rows = imagePatches(w, input, imageSize, imageSize, patchSize);
  const { weight, bias } = patches;
  w.release(input);
  if (!classToken) {
    const places = Array.from({ length: rows.rows }, (_, row) => row % positions.rows);
    const residual = embedTokens(w, places, positions);
    const x = matmul(w, rows, weight, { bias, residual });
    w.release(rows, residual);
    return x;
  }
  const embedded = matmul(w, rows, weight, { bias });
  const x = embedImage(w, embedded, classToken, positions);
  w.release(rows, embedded);
  return x;
}

/** @throws ShapeError */
function checkImage(image: ImageInput, i: number, imageSize: number): void {
  if (image.height !== imageSize || image.width !== imageSize)
    throw new ShapeError(
      `image ${i} is ${image.width}×${image.height}, the model expects ${imageSize}×${imageSize}`,
    );
  checkFloats(image.data, `image ${i}: data`, tileCount(image) * 3 * imageSize ** 2);
  const bad = image.data.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw new ShapeError(`image ${i}: pixel value ${bad} is ${image.data[bad]}`);
}
