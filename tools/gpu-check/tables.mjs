// What the compilers' figures mean for the matrix products: cycles of tiles, and how one row's kernels keep a GPU busy.
import { figuresOf } from './compile.mjs';

/** Products of a column, of the LLaMA in LLaVA-1.5. */
const K = 4096;
/** Features of a chain (CHUNK in src/kernels/matmul-variant.ts). */
const CHUNK = 128;
/** Bytes that a thread loads of a weight at a time: four values. */
const LOAD_BYTES = { f32: 16, f16: 8, bf16: 8 };
/** Cycles per value and lane that the default for large results may take on Tiger Lake, by ANV's model; 4 × 4 values take 1006. */
export const MOST_CYCLES = 683;

/** @returns tables of the report, or nothing where kernels are missing; they are of plain kernels */
export function tablesOf(variants, results) {
  if (!variants.every(({ name }) => results.tgl.has(name))) return undefined;
  const cycles = (target, { name, variant }) => {
    const compiled = results[target].get(name);
    return Math.round(figuresOf(compiled).cycles / (variant.rows * variant.columns * compiled.subgroup));
  };
  const tiles = variants
    .filter(({ variant }) => variant.kernel === 'matmul_tile')
    .map((one) => {
      const { shape, type, usual, variant } = one;
      const { rows, columns, down, across, quads } = variant;
      return {
        shape,
        type,
        usual,
        tile: `${rows * down} x ${columns * across} x ${4 * quads}`,
        values: `${rows} x ${columns}`,
        'tgl cycles per value and lane': cycles('tgl', one),
        'lnl cycles per value and lane': cycles('lnl', one),
      };
    });
  const rows = variants
    .filter(({ shape }) => shape === 'row')
    .map(({ type, usual, variant, name }) => {
      const chunks = Math.ceil(K / CHUNK);
      const side = variant.kernel === 'matmul_row' ? variant.lanes : 1;
      return {
        kernel: name,
        usual,
        'longest serial chain': CHUNK * Math.ceil(chunks / side) + chunks,
        'multiplying threads per workgroup': side > 1 ? variant.threads : variant.down * variant.across,
        'bytes per load': LOAD_BYTES[type],
      };
    });
  return { tiles, rows };
}

/** What is wrong with them. */
export function tooSlow({ tiles = [] }) {
  return tiles
    .filter(({ shape, usual }) => usual && shape === 'large')
    .filter((tile) => tile.type === 'f32' && tile['tgl cycles per value and lane'] > MOST_CYCLES)
    .map(
      (tile) =>
        `the default for large results takes ${tile['tgl cycles per value and lane']} cycles per value and lane on Tiger Lake, above ${MOST_CYCLES}`,
    );
}
