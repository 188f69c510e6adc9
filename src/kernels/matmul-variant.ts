// Which matmul a shape gets on a device: a pure function, so it is tested without a GPU.

import type { Capabilities } from '../gpu/index.ts';
import type { ElementType } from './weight.ts';

/** A matmul kernel with its tile. */
export interface MatmulVariant {
  readonly kernel: 'matmul_subgroup' | 'matmul_portable';
  /** Rows of A in a tile. */
  readonly rows: number;
  /** Columns of the result that one lane (thread) owns. */
  readonly columns: number;
  /** Threads of a workgroup; for the subgroup kernel the lanes of a subgroup. */
  readonly threads: number;
}

/** Rows of A: one row to four is a matrix-vector product, where the weights' loads decide. */
export type ShapeClass = 'skinny' | 'tall';

export function shapeClass(m: number): ShapeClass {
  return m <= 4 ? 'skinny' : 'tall';
}

/**
 * Tiles by lanes of a subgroup, as measured on software adapters (bench/RESULTS.md): registers are many and loads are
 * dear, so tiles are tall. Half types cost unpacking, which more rows share.
 */
const SUBGROUP_TILES: Readonly<Record<number, Record<ShapeClass, [rows: number, columns: number]>>> = {
  4: { tall: [12, 4], skinny: [1, 4] },
  8: { tall: [12, 3], skinny: [1, 2] },
};

/** The variant for A [m, ·] on a device. */
export function chooseMatmul(
  capabilities: Pick<Capabilities, 'software' | 'subgroupSize'>,
  m: number,
  _type: ElementType,
): MatmulVariant {
  const tiles = SUBGROUP_TILES[capabilities.subgroupSize];
  if (capabilities.software && tiles) {
    const [rows, columns] = tiles[shapeClass(m)];
    return { kernel: 'matmul_subgroup', rows, columns, threads: capabilities.subgroupSize };
  }
  const [rows, columns] = shapeClass(m) === 'skinny' ? [1, 2] : [8, 4];
  return { kernel: 'matmul_portable', rows: rows as number, columns: columns as number, threads: 32 };
}
