import type { Matrix } from './matrix.ts';

/** torch.nn.Embedding of the token ids, plus that of the positions. */
export function embedTokens(
  ids: readonly number[],
  tokens: Matrix,
  places?: readonly number[],
  positions?: Matrix,
): Matrix {
  return ids.map((id, r) =>
    Array.from(tokens[id]!, (value, c) => value + (positions ? positions[places![r]!]![c]! : 0)),
  );
}

/**
 * The patches that a convolution of kernel and stride S sees, each as one row in the order of its weights
 * (channel, y, x): torch.nn.Unfold(S, stride=S), transposed.
 *
 * @param images each [3 · height · width], channels first
 */
export function imagePatches(images: Matrix, height: number, width: number, size: number): Matrix {
  const patches: number[][] = [];
  for (const image of images)
    for (let top = 0; top + size <= height; top += size)
      for (let left = 0; left + size <= width; left += size) {
        const patch: number[] = [];
        for (let channel = 0; channel < 3; channel++)
          for (let y = 0; y < size; y++)
            for (let x = 0; x < size; x++)
              patch.push(image[(channel * height + top + y) * width + left + x]!);
        patches.push(patch);
      }
  return patches;
}

/** Patches plus what lies between the rows of a position table, each row with its share. */
export function addPositions(
  patches: Matrix,
  positions: Matrix,
  corners: readonly (readonly (readonly [row: number, share: number])[])[],
): Matrix {
  return patches.map((patch, r) =>
    Array.from(patch, (value, c) =>
      corners[r]!.reduce((sum, [row, share]) => sum + Math.fround(share) * positions[row]![c]!, value),
    ),
  );
}

/** Class token in front of each image's patches, positions added: CLIPVisionEmbeddings and BlipVisionEmbeddings. */
export function embedImage(patches: Matrix, classToken: ArrayLike<number>, positions: Matrix): Matrix {
  const perImage = positions.length - 1;
  const images = Array.from({ length: patches.length / perImage }, (_, b) =>
    patches.slice(b * perImage, (b + 1) * perImage),
  );
  return images.flatMap((image) =>
    [classToken, ...image].map((row, t) => Array.from(row, (value, c) => value + positions[t]![c]!)),
  );
}
