// Pieces of the maps from checkpoint names to the tower's parameters.

import type { NormWeights } from '../kernels/index.ts';
import { type Checkpoint, type WeightLoader, WeightsError } from '../weights/index.ts';
import type { Linear } from './tower/index.ts';

/**
 * A linear layer [rows, columns], quantised if the loader does that.
 *
 * @param names several layers of one input are joined by rows; `rows` counts those of all
 */
export async function linear(
  loader: WeightLoader,
  names: string | readonly string[],
  rows: number,
  columns: number,
  { bias = true }: { readonly bias?: boolean } = {},
): Promise<Linear> {
  const all = (parameter: string) => [names].flat().map((name) => `${name}.${parameter}`);
  return {
    weight: await loader.linear(all('weight'), { rows, columns }),
    bias: bias ? await loader.vector(all('bias'), rows) : undefined,
  };
}

/** A convolution whose stride is its kernel, as a matrix [out channels, in channels · y · x]. It is never quantised. */
export async function convolution(
  loader: WeightLoader,
  name: string,
  rows: number,
  columns: number,
  { bias = true }: { readonly bias?: boolean } = {},
): Promise<Linear> {
  return {
    weight: await loader.matrix(`${name}.weight`, { rows, columns }),
    bias: bias ? await loader.vector(`${name}.bias`, rows) : undefined,
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

/** An RMSNorm's scale; `unit`: the file has what it is more than 1 (Gemma). */
export async function rmsNorm(
  loader: WeightLoader,
  name: string,
  width: number,
  eps: number,
  { unit = false }: { readonly unit?: boolean } = {},
): Promise<NormWeights> {
  return { scale: await loader.vector(`${name}.weight`, width, { plus: unit ? 1 : 0 }), eps };
}

/**
 * What stands before `name` in this checkpoint: releases of transformers put the same modules under different paths.
 *
 * @throws WeightsError unless exactly one tensor's name ends with `name`
 */
export function prefixOf(checkpoint: Checkpoint, name: string): string {
  const found = checkpoint.names.filter((full) => full === name || full.endsWith(`.${name}`));
  const [only] = found;
  if (only === undefined || found.length > 1)
    throw new WeightsError(
      `${checkpoint.name}: expected one tensor named "${name}" after the path of its module, found ${found.join(', ') || 'none'}. ` +
        'Do config.json and the weights belong to the same model?',
    );
  return only.slice(0, only.length - name.length);
}
