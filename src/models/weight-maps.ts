// Pieces of the maps from checkpoint names to the tower's parameters.

import type { NormWeights } from '../kernels/index.ts';
import type { WeightLoader } from '../weights/index.ts';
import type { BlockWeights, Linear, TowerConfig } from './tower/index.ts';

/** One block after the other: weights are streamed, so that host memory stays small. */
export async function blocks(
  { layers }: TowerConfig,
  load: (layer: number) => Promise<BlockWeights>,
): Promise<BlockWeights[]> {
  const loaded: BlockWeights[] = [];
  for (let layer = 0; layer < layers; layer++) loaded.push(await load(layer));
  return loaded;
}

/** A linear layer [rows, columns] with its bias. */
export async function linear(
  loader: WeightLoader,
  name: string,
  rows: number,
  columns: number,
): Promise<Linear> {
  return {
    weight: await loader.matrix(`${name}.weight`, { rows, columns }),
    bias: await loader.vector(`${name}.bias`, rows),
  };
}

/** Linear layers [rows, columns] of one input, joined by rows. */
export async function joined(
  loader: WeightLoader,
  names: readonly string[],
  rows: number,
  columns: number,
): Promise<Linear> {
  const total = names.length * rows;
  return {
    weight: await loader.matrix(
      names.map((name) => `${name}.weight`),
      { rows: total, columns },
    ),
    bias: await loader.vector(
      names.map((name) => `${name}.bias`),
      total,
    ),
  };
}

/** A LayerNorm's scale and shift. */
export async function layerNorm(
  loader: WeightLoader,
  name: string,
  width: number,
  eps: number,
): Promise<NormWeights> {
  return {
    scale: await loader.vector(`${name}.weight`, width),
    shift: await loader.vector(`${name}.bias`, width),
    eps,
  };
}
