// Which matmul a shape gets on a device: a pure function, so it is tested without a GPU. Every variant gives the same
// bits on a device (matmul_operands.wgsl), so the choice is one of speed alone.

import type { Capabilities } from '../gpu/index.ts';
import { type DeviceClass, deviceClass } from './device-class.ts';
import type { ElementType } from './weight.ts';

/**
 * Products in a chain of fma; chains are then added up. On BLIP-VQA-base it makes the rounding error of a long sum (K = 3072)
 * a fifth of one chain's.
 */
export const CHUNK = 128;

/** A kernel in which lanes own columns, with the tile of one workgroup: `rows` × (`columns` · `threads`). */
export interface LaneVariant {
  readonly kernel: 'matmul_subgroup' | 'matmul_portable';
  /** Rows of A in a tile. */
  readonly rows: number;
  /** Columns of the result that one lane (thread) owns. */
  readonly columns: number;
  /** Threads of a workgroup; for the subgroup kernel the lanes of a subgroup. */
  readonly threads: number;
}

/** The kernel with tiles in workgroup memory: (`rows` · `down`) × (`columns` · `across`). */
export interface TileVariant {
  readonly kernel: 'matmul_tile';
  /** Rows and columns of the result that one multiplying thread owns. */
  readonly rows: number;
  readonly columns: number;
  /** Multiplying threads along rows and columns of the tile. */
  readonly down: number;
  readonly across: number;
  /** Threads of a workgroup; those beyond `down` · `across` only load. */
  readonly threads: number;
  /** Features in workgroup memory at a time, in fours. */
  readonly quads: number;
}

/** The kernel that has the chunks of a column side by side: one row, `columns` values with `columns` · `lanes` threads. */
export interface RowVariant {
  readonly kernel: 'matmul_row';
  readonly rows: 1;
  readonly columns: number;
  /** Chunks of a column that are done at a time. */
  readonly lanes: number;
  readonly threads: number;
  /** Features of each chunk in workgroup memory at a time, in fours. */
  readonly quads: number;
}

export type MatmulVariant = LaneVariant | TileVariant | RowVariant;

/**
 * What shapes have in common: one row, up to four, up to 64 (a prompt, a batch of answers), more (an image's positions),
 * and results so large that the largest tiles still fill a GPU.
 */
export type ShapeClass = 'row' | 'few' | 'skinny' | 'tall' | 'large';
export const SHAPE_CLASSES = ['row', 'few', 'skinny', 'tall', 'large'] as const satisfies ShapeClass[];

/** The class of a result [m, n]. */
export function shapeClass(m: number, n: number): ShapeClass {
  if (m === 1) return 'row';
  if (m <= 4) return 'few';
  if (m <= 64) return 'skinny';
  return m * n < 2 ** 22 ? 'tall' : 'large'; // 256 tiles of 128 × 128
}

/** A tile among several heights, with what one of its rows costs beside the others. */
interface Height {
  readonly tile: LaneVariant;
  readonly cost: number;
}

type Choices = Readonly<Record<ShapeClass, MatmulVariant | readonly Height[]>>;

export const subgroup = (threads: number, rows: number, columns: number): LaneVariant => ({
  kernel: 'matmul_subgroup',
  rows,
  columns,
  threads,
});
export const portable = (rows: number, columns: number): LaneVariant => ({
  kernel: 'matmul_portable',
  rows,
  columns,
  threads: 32,
});
export const tile = (
  [down, rows]: readonly [number, number],
  [across, columns]: readonly [number, number],
  threads: number,
  quads: number,
): TileVariant => ({ kernel: 'matmul_tile', rows, columns, down, across, threads, quads });

export const row = (columns: number, lanes: number, quads: number): RowVariant => ({
  kernel: 'matmul_row',
  rows: 1,
  columns,
  lanes,
  threads: columns * lanes,
  quads,
});

/** Tiles for more than a few rows: rows beyond the last tile's are computed and dropped, so a height that leaves few is chosen. */
const HEIGHTS = {
  'software-4': [
    { tile: subgroup(4, 12, 4), cost: 1 },
    { tile: subgroup(4, 16, 4), cost: 1.03 },
    { tile: subgroup(4, 8, 6), cost: 1.04 },
  ],
  'software-8': [
    { tile: subgroup(8, 12, 3), cost: 1 },
    { tile: subgroup(8, 16, 3), cost: 1.06 },
    { tile: subgroup(8, 8, 3), cost: 1.09 },
  ],
} as const satisfies Partial<Record<DeviceClass, readonly Height[]>>;

/**
 * Defaults. Software adapters: as measured (bench/RESULTS.md); loads are dear there, so tiles are tall, and one row to four are
 * bound by the loads of the weights. With 8 lanes `few` is not measured. GPU: not measured; 64 × 64 × 16 tiles with 4 × 4 values per
 * thread, as others found good, and for large results 4 × 8, the largest for which the compilers of AMD and Intel spill no register;
 * smaller where there are few rows, so that enough workgroups remain. One row: many threads along k, since there are few columns.
 */
const DEFAULTS: Readonly<Record<DeviceClass, Choices>> = {
  'software-4': {
    row: subgroup(4, 1, 4),
    few: subgroup(4, 4, 6),
    skinny: HEIGHTS['software-4'],
    tall: HEIGHTS['software-4'],
    large: HEIGHTS['software-4'],
  },
  'software-8': {
    row: subgroup(8, 1, 2),
    few: subgroup(8, 4, 3),
    skinny: HEIGHTS['software-8'],
    tall: HEIGHTS['software-8'],
    large: HEIGHTS['software-8'],
  },
  software: {
    row: portable(1, 2),
    few: portable(4, 4),
    skinny: portable(8, 4),
    tall: portable(8, 4),
    large: portable(8, 4),
  },
  gpu: {
    row: row(4, 32, 4),
    few: tile([4, 1], [16, 1], 64, 32),
    skinny: tile([16, 1], [16, 1], 256, 8),
    tall: tile([16, 4], [16, 4], 256, 4),
    large: tile([16, 4], [16, 8], 256, 4),
  },
};

/** What the choice depends on besides the shape. */
export type MatmulDevice = Pick<Capabilities, 'software' | 'subgroupSize'> &
  Partial<Pick<Capabilities, 'limits' | 'tuning'>>;

/** The key of a choice in a tuning table. */
export function matmulKey(device: MatmulDevice, shape: ShapeClass, type: ElementType): string {
  return `${deviceClass(device)} matmul ${shape} ${type}`;
}

/** The variant for a result [m, n] on a device: measured there if it has been tuned, else the default. */
export function chooseMatmul(device: MatmulDevice, m: number, n: number, type: ElementType): MatmulVariant {
  const shape = shapeClass(m, n);
  const tuned = device.tuning?.[matmulKey(device, shape, type)] as MatmulVariant | undefined;
  if (tuned) return tuned;
  const choices = DEFAULTS[deviceClass(device)];
  const choice = choices[shape];
  if ('kernel' in choice) return canRun(device, choice) ? choice : usual(choices.tall, m);
  return usual(choice, m);
}

/** Of several heights the one whose tiles cost least for m rows; of equal ones the first. */
function usual(choice: Choices[ShapeClass], m: number): MatmulVariant {
  if ('kernel' in choice) return choice;
  const costOf = ({ tile: { rows }, cost }: Height) => cost * rows * Math.ceil(m / rows);
  return choice.reduce((best, height) => (costOf(height) < costOf(best) ? height : best)).tile;
}

/** Whether a device has what a variant needs. */
export function canRun({ limits, software, subgroupSize }: MatmulDevice, variant: MatmulVariant): boolean {
  const { maxComputeInvocationsPerWorkgroup = 256, maxComputeWorkgroupStorageSize = 16384 } = limits ?? {};
  if (variant.threads > maxComputeInvocationsPerWorkgroup) return false;
  switch (variant.kernel) {
    case 'matmul_portable':
      return true;
    case 'matmul_subgroup':
      return software && variant.threads === subgroupSize && subgroupSize % 4 === 0;
    case 'matmul_row':
      return CHUNK % (4 * variant.quads) === 0 && rowBytes(variant) <= maxComputeWorkgroupStorageSize;
    case 'matmul_tile':
      return (
        variant.down * variant.across <= variant.threads &&
        CHUNK % (4 * variant.quads) === 0 &&
        tileBytes(variant) <= maxComputeWorkgroupStorageSize
      );
  }
}

/** Rows and columns of the result that one workgroup computes. */
export function blockOf(variant: MatmulVariant): { rows: number; columns: number } {
  const { rows, columns } = variant;
  switch (variant.kernel) {
    case 'matmul_tile':
      return { rows: rows * variant.down, columns: columns * variant.across };
    case 'matmul_row':
      return { rows, columns };
    default:
      return { rows, columns: columns * variant.threads };
  }
}

/** Workgroup memory of the row kernel, in bytes. */
function rowBytes({ columns, lanes, quads }: RowVariant): number {
  return 16 * (columns + 1) * lanes * (quads + 1) + 4 * columns * lanes;
}

/** Workgroup memory of a tile, in bytes. */
export function tileBytes(variant: TileVariant): number {
  const { rows, columns } = blockOf(variant);
  return 16 * (rows + columns) * (variant.quads + 1);
}
