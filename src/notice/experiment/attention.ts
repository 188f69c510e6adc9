// Where every head looks: attention to the image's patches in the clean run, from the correct option in the prompt or from
// the prompt's end.

import type { HeadPosition } from '../../analysis/effects.ts';
import type { ImageAttention } from '../../analysis/image-attention.ts';
import { NoticeError } from '../../errors.ts';
import type { Box } from '../../inputs/index.ts';
import type { Sample, VisionLanguageModel } from '../../models/index.ts';
import { attentionToImage, towerOf } from '../../patching/index.ts';
import {
  asFloat32,
  type ByteSource,
  type HostTensor,
  readTensors,
  writeSafetensors,
} from '../../weights/index.ts';
import type { PreparedPair } from './prepare.ts';

/** Where heads look at the images of a sample. */
export interface SeenAttention extends ImageAttention {
  /** Grids of patches, whose patches are those of the attention one after the other. */
  readonly grids: readonly SeenGrid[];
}

/** A grid of patches, and the part of the picture that it covers, in its pixels. */
export interface SeenGrid {
  readonly rows: number;
  readonly columns: number;
  readonly box: Box;
}

/** The grid of most patches, with the attention to it: what a figure shows. */
export function largestGrid({ grids, ...attention }: SeenAttention): {
  readonly attention: ImageAttention;
  readonly grid: SeenGrid;
} {
  const { layers, heads, patches, data } = attention;
  const size = ({ rows, columns }: SeenGrid) => rows * columns;
  const index = grids.reduce((best, grid, i) => (size(grid) > size(grids[best] as SeenGrid) ? i : best), 0);
  const grid = grids[index] as SeenGrid;
  const start = grids.slice(0, index).reduce((sum, before) => sum + size(before), 0);
  const own = new Float32Array(layers * heads * size(grid));
  for (let head = 0; head < layers * heads; head++)
    own.set(data.subarray(head * patches + start, head * patches + start + size(grid)), head * size(grid));
  return { attention: { layers, heads, patches: size(grid), data: own }, grid };
}

/**
 * Attention of some samples as a safetensors file: two tensors per sample id, `{id}` [layer, head, patch] and `{id}/grids`
 * [grid, 6]: rows, columns, left, top, right, bottom.
 */
export async function saveAttention(
  model: VisionLanguageModel,
  samples: readonly Pick<PreparedPair, 'pair' | 'clean' | 'answerPositions'>[],
  from: HeadPosition,
): Promise<Uint8Array> {
  const tensors = new Map<string, { dtype: 'F32'; shape: number[]; data: Float32Array<ArrayBuffer> }>();
  for (const { pair, clean, answerPositions } of samples) {
    const queries = from === 'last' ? [clean.ids.length - 1] : answerPositions;
    const { layers, heads, patches, data, grids } = await attentionOf(model, clean, queries);
    const places = grids.flatMap(({ rows, columns, box }) => [rows, columns, ...box]);
    tensors.set(pair.id, { dtype: 'F32', shape: [layers, heads, patches], data: new Float32Array(data) });
    tensors.set(`${pair.id}${GRIDS}`, {
      dtype: 'F32',
      shape: [grids.length, 6],
      data: Float32Array.from(places),
    });
  }
  return writeSafetensors(tensors);
}

const GRIDS = '/grids';

async function attentionOf(
  model: VisionLanguageModel,
  sample: Sample,
  queries: readonly number[],
): Promise<SeenAttention> {
  // A tower of its own looks at the image for all that reads the prompt: its queries together.
  const own = towerOf(model.imageAttention) !== model.promptTower;
  const { grids, ...found } = await attentionToImage(model, sample, own ? {} : { from: queries });
  return {
    ...found,
    grids: grids.map(({ rows, columns, box = [0, 0, columns, rows] }) => ({ rows, columns, box })),
  };
}

/**
 * Reads what {@link saveAttention} wrote of one sample.
 *
 * @throws NoticeError('data') if the file has nothing of it
 */
export async function readAttention(source: ByteSource, id: string): Promise<SeenAttention> {
  const names = [id, `${id}${GRIDS}`];
  const tensors = await readTensors(source, (name) => names.includes(name));
  const [tensor, places] = names.map((name) => tensors.get(name));
  if (!tensor || !places)
    throw new NoticeError(
      'data',
      `${source.name} does not say where heads look in ${id}; remove it, and run again.`,
    );
  const [layers = 0, heads = 0, patches = 0] = tensor.shape;
  return { layers, heads, patches, data: asFloat32(tensor, id), grids: gridsOf(places) };
}

function gridsOf(tensor: HostTensor): SeenGrid[] {
  const numbers = asFloat32(tensor, GRIDS);
  return Array.from({ length: numbers.length / 6 }, (_, i) => {
    const [rows = 0, columns = 0, left = 0, top = 0, right = 0, bottom = 0] = numbers.subarray(6 * i);
    return { rows, columns, box: [left, top, right, bottom] };
  });
}
