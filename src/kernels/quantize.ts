// Quantised weights: made of what a file holds, and made into f32 again a few rows at a time.

import type { Work } from '../gpu/index.ts';
import { ELEMENT_THREADS, elementGrid, gridOf } from './grid.ts';
import { kernel, reductionFor } from './source.ts';
import {
  CODES_PER_WORD,
  type ElementType,
  isQuantized,
  type LinearWeight,
  NF4_BLOCK,
  type QuantizedPart,
  type QuantizedType,
  type QuantizedWeight,
  scaleCount,
  type WeightPart,
} from './weight.ts';

const WG = ELEMENT_THREADS;
/** The most that {@link floatParts} has as f32 at a time, in bytes; a single row may be larger. */
const SLAB_BYTES = 32 * 1024 * 1024;

/** Rows of a weight as a file has them, without padding. */
export interface FileRows {
  readonly buffer: GPUBuffer;
  readonly type: ElementType;
  readonly rows: number;
}

/** Constants of all kernels that know codes. */
function codeConstants(type: QuantizedType) {
  return { NF4: type === 'nf4', CODES: CODES_PER_WORD[type] };
}

/**
 * Quantises rows of a matrix.
 *
 * @param input f32, f16 or bf16, row by row
 * @param first the part's row at which they begin, a multiple of {@link blockRows}
 * @param refused 4 bytes; the first word becomes 1 if a value is not finite, and otherwise stays as it is
 */
export function quantize(
  w: Work,
  input: FileRows,
  { type, columns, stride }: Pick<QuantizedWeight, 'type' | 'columns' | 'stride'>,
  part: QuantizedPart,
  first: number,
  refused: GPUBuffer,
): void {
  const reduction = reductionFor(w.capabilities);
  const stored = { HALF: input.type !== 'f32', BF16: input.type === 'bf16' };
  const scales = kernel('quantize_scales', [type, input.type, reduction.by, reduction.WG], () => ({
    constants: { INT8: type === 'int8', ...stored },
    reduction,
  }));
  const codes = kernel('quantize_codes', [type, input.type], () => ({
    constants: { WG, ...codeConstants(type), ...stored },
  }));
  const groups = scaleCount(type, input.rows, columns);
  const grid = gridOf(w, groups);
  w.dispatch(
    scales,
    { X: input.buffer, scales: part.scales, refused },
    {
      count: input.rows * columns,
      size: type === 'nf4' ? NF4_BLOCK : columns,
      groups,
      first: scaleCount(type, first, columns),
      gridX: grid.gridX,
    },
    grid.groups,
  );
  const words = wordsOf({ type, columns, stride }, first, input.rows);
  const elements = elementGrid(w, words.count);
  w.dispatch(
    codes,
    { X: input.buffer, scales: part.scales, codes: part.buffer },
    { ...words, threads: elements.threads },
    elements.groups,
  );
}

/**
 * The parts of a weight as floats: those of a float weight as they are, those of a quantised one as f32 in portions, each
 * of which is valid until the next is asked for.
 */
export function* floatParts(w: Work, weight: LinearWeight): Generator<WeightPart, void, undefined> {
  if (!isQuantized(weight)) {
    yield* weight.parts;
    return;
  }
  const { type, stride, name } = weight;
  const source = kernel('dequantize', [type], () => ({
    constants: { WG, ...codeConstants(type), QUADS: CODES_PER_WORD[type] / 4 },
  }));
  const most = Math.max(1, Math.floor(SLAB_BYTES / (4 * stride)));
  const longest = Math.max(...weight.parts.map(({ rows }) => rows));
  const buffer = w.acquire(4 * stride * Math.min(most, longest), `${name} as f32`);
  try {
    for (const part of weight.parts) {
      for (let first = 0; first < part.rows; first += most) {
        const rows = Math.min(most, part.rows - first);
        const words = wordsOf(weight, first, rows);
        const { groups, threads } = elementGrid(w, words.count);
        const buffers = { codes: part.buffer, scales: part.scales, Y: buffer };
        w.dispatch(source, buffers, { ...words, threads }, groups);
        yield { buffer, firstRow: part.firstRow + first, rows };
      }
    }
  } finally {
    w.release(buffer);
  }
}

/** The words that hold some rows of a part, as the kernels' parameters. */
function wordsOf(
  { type, columns, stride }: Pick<QuantizedWeight, 'type' | 'columns' | 'stride'>,
  first: number,
  rows: number,
) {
  const rowWords = stride / CODES_PER_WORD[type];
  return { count: rows * rowWords, rowWords, first, K: columns };
}
