// From token ids and pixel values to the first rows of a residual stream.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { imagePatchesBackward } from './backward/pixels.ts';
import { passBackward, sharesBackward } from './backward/rows.ts';
import { ELEMENT_THREADS, elementGrid, gridOf } from './grid.ts';
import { kernel } from './source.ts';
import type { Vector, Weight } from './weight.ts';

const WG = ELEMENT_THREADS;

/**
 * tokens[ids[r]] + positions[places[r]], as two torch.nn.Embedding added; without `positions` the first alone.
 *
 * @returns [ids.length, C]
 * @throws ShapeError if an id or a place is beyond its table
 */
export function embedTokens(
  w: Work,
  ids: readonly number[],
  tokens: Weight,
  places?: readonly number[],
  positions?: Weight,
): Tensor {
  const badId = ids.find((id) => !(id >= 0 && id < tokens.rows));
  checkShape(badId === undefined, () => `token id ${badId} is outside the vocabulary of ${tokens.rows}`);
  checkShape(
    !positions || places?.length === ids.length,
    () => `${places?.length ?? 'no'} positions for ${ids.length} token ids`,
  );
  const badPlace = positions && places?.find((place) => !(place >= 0 && place < positions.rows));
  checkShape(
    badPlace === undefined,
    () => `position ${badPlace} is beyond the ${positions?.rows} of ${positions?.name}`,
  );
  checkShape(
    !positions ||
      (positions.parts.length === 1 &&
        positions.type === tokens.type &&
        positions.columns === tokens.columns),
    () => `${positions?.name} does not match ${tokens.name}`,
  );
  const source = kernel('embed_tokens', [tokens.type, positions && 'positions'], () => ({
    constants: { WG, HAS_POSITIONS: !!positions },
    weights: tokens.type,
  }));
  const out = w.empty(ids.length, tokens.columns, 'token embeddings');
  const index = w.uploadWords(Uint32Array.from(ids.flatMap((id, i) => [id, places?.[i] ?? 0])), 'token ids');
  const { groups, gridX } = gridOf(w, ids.length);
  for (const part of tokens.parts) {
    w.dispatch(
      source,
      { index, T: part.buffer, Y: out.buffer, P: positions?.parts[0]?.buffer },
      {
        R: ids.length,
        C: tokens.columns,
        stride: tokens.stride,
        tFirst: part.firstRow,
        tRows: part.rows,
        gridX,
      },
      groups,
    );
  }
  w.release(index);
  return out;
}

/**
 * The rows a patch embedding multiplies with its convolution [C, 3 · S · S]. Pixels beyond whole patches are left out, as a
 * convolution without padding does.
 *
 * @param pixels [B, 3 · height · width] normalised pixel values, channels first
 * @returns [B · ⌊height / S⌋ · ⌊width / S⌋, 3 · S · S]
 */
export function imagePatches(w: Work, pixels: Tensor, height: number, width: number, patch: number): Tensor {
  checkShape(
    isContiguous(pixels) && pixels.columns === 3 * height * width && Math.min(height, width) >= patch,
    () => `image ${shapeOf(pixels)} is not [*, 3 × ${height} × ${width}] in patches of ${patch}`,
  );
  const source = kernel('image_patches', [], () => ({ constants: { WG } }));
  const perImage = Math.floor(height / patch) * Math.floor(width / patch);
  const out = w.empty(pixels.rows * perImage, 3 * patch * patch, 'image patches');
  const count = out.rows * out.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(
    source,
    { pixels: pixels.buffer, X: out.buffer },
    { count, threads, H: height, W: width, S: patch },
    groups,
  );
  w.tape?.note({
    operator: 'patches of images',
    reads: [pixels],
    writes: [out],
    backward: (b) => {
      const into = b.into(pixels);
      if (into) imagePatchesBackward(b.w, b.gradient(out) as Tensor, into, height, width, patch);
    },
  });
  return out;
}

/**
 * Class token in front of each image's patches, position embeddings added.
 *
 * @param patches [B · (T − 1), C] embedded patches
 * @returns [B · T, C] with T the rows of `positions`
 */
export function embedImage(w: Work, patches: Tensor, classToken: Vector, positions: Weight): Tensor {
  const length = positions.rows;
  checkShape(
    isContiguous(patches) &&
      patches.rows % (length - 1) === 0 &&
      patches.columns === positions.columns &&
      positions.parts.length === 1,
    () => `patches ${shapeOf(patches)} do not fill images of ${length - 1} patches (${positions.name})`,
  );
  checkShape(
    classToken.length === positions.columns,
    () =>
      `${classToken.name} has ${classToken.length} values, ${positions.name} ${positions.columns} columns`,
  );
  const weights = positions.type;
  const source = kernel('embed_image', [weights], () => ({ constants: { WG }, weights }));
  const rows = (patches.rows / (length - 1)) * length;
  const out = w.empty(rows, patches.columns, 'image embeddings');
  const { groups, gridX } = gridOf(w, rows);
  w.dispatch(
    source,
    { E: patches.buffer, classToken: classToken.buffer, P: positions.parts[0]!.buffer, Y: out.buffer },
    { R: rows, C: patches.columns, T: length, stride: positions.stride, gridX },
    groups,
  );
  w.tape?.note({
    operator: 'image embedding',
    reads: [patches],
    writes: [out],
    backward: (b) => {
      const shares = Array.from({ length: patches.rows }, (_, of) => ({
        of,
        in: of + Math.floor(of / (length - 1)) + 1,
        share: 1,
      }));
      sharesBackward(b, out, patches, shares);
    },
  });
  return out;
}

/** Rows of a position table that surround a patch, and what share each has. */
export type Corners = readonly (readonly [row: number, share: number])[];

/**
 * Embedded patches plus what a position table has between its rows.
 *
 * @param x contiguous [R, C]
 * @param corners four for each row of x
 * @returns [R, C]
 */
export function addPositions(w: Work, x: Tensor, positions: Weight, corners: readonly Corners[]): Tensor {
  checkShape(
    isContiguous(x) && x.columns === positions.columns && positions.parts.length === 1,
    () => `patches ${shapeOf(x)} do not match ${positions.name}`,
  );
  checkShape(
    corners.length === x.rows && corners.every((four) => four.length === 4),
    () => `four corners for each of ${x.rows} patches, found ${corners.length} times ${corners[0]?.length}`,
  );
  const beyond = corners.flat().find(([row]) => !(row >= 0 && row < positions.rows));
  checkShape(
    beyond === undefined,
    () => `position ${beyond?.[0]} is beyond the ${positions.rows} of ${positions.name}`,
  );
  const words = new Uint32Array(8 * x.rows);
  const shares = new Float32Array(words.buffer);
  corners.flat().forEach(([row, share], i) => {
    words[2 * i] = row;
    shares[2 * i + 1] = share;
  });
  const weights = positions.type;
  const source = kernel('add_positions', [weights], () => ({ constants: { WG }, weights }));
  const out = w.empty(x.rows, x.columns, 'image embeddings');
  const table = w.uploadWords(words, 'corners');
  const { groups, gridX } = gridOf(w, x.rows);
  w.dispatch(
    source,
    { X: x.buffer, P: positions.parts[0]!.buffer, corners: table, Y: out.buffer },
    { R: x.rows, C: x.columns, stride: positions.stride, gridX },
    groups,
  );
  w.release(table);
  w.tape?.note({
    operator: 'position embedding',
    reads: [x],
    writes: [out],
    backward: (b) => passBackward(b, out, x),
  });
  return out;
}
