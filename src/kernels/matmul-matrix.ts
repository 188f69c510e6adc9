// Products on a GPU's matrix units, on devices that were opened with `subgroupMatrices`. All weights in floats go this way
// whatever the number of rows, because its sums are rounded otherwise than those of the other kernels: a row must not
// depend on the rows beside it.

import { type Capabilities, inSyntax, type SubgroupMatrix } from '../gpu/index.ts';
import { type Epilogue, flagsOf } from './matmul-operands.ts';
import { shapeClass } from './matmul-variant.ts';
import { type Kernel, kernel } from './source.ts';
import type { ElementType } from './weight.ts';

/** The tile of one workgroup: `down` × `across` subgroups with `rows` × `columns` matrices each. */
export interface MatrixTile {
  readonly down: number;
  readonly across: number;
  readonly rows: number;
  readonly columns: number;
  /** Features in workgroup memory at a time. */
  readonly step: number;
}

export type MatrixDevice = Pick<Capabilities, 'subgroupSize' | 'limits'> & {
  readonly subgroupMatrix: SubgroupMatrix;
};

/**
 * Not measured on a GPU: 64 × 64 values with matrices of 16 × 16 are what others found good, and 128 × 64 where the result is so large
 * that these fill a GPU, since each value that is loaded is then multiplied more often. The last is for few rows, which need many
 * workgroups. A value's sum does not depend on the tile that it is in.
 */
const LARGE: MatrixTile = { down: 4, across: 2, rows: 2, columns: 2, step: 32 };
const TILES: readonly MatrixTile[] = [
  { down: 2, across: 2, rows: 2, columns: 2, step: 32 },
  { down: 2, across: 2, rows: 1, columns: 1, step: 32 },
  { down: 1, across: 2, rows: 1, columns: 1, step: 32 },
];

/**
 * The tile for a result [m, n].
 *
 * @returns undefined on a device whose workgroups are too small for the last tile, whatever the result is
 */
export function matrixTile(device: MatrixDevice, m: number, n: number): MatrixTile | undefined {
  const few = m <= device.subgroupMatrix.M;
  const sizes = few ? TILES.slice(-1) : shapeClass(m, n) === 'large' ? [LARGE, ...TILES] : TILES;
  return sizes.find((tile) => fits(device, tile));
}

function fits({ subgroupSize, limits, subgroupMatrix }: MatrixDevice, tile: MatrixTile): boolean {
  const { down, across, step } = tile;
  const { M, N, K } = subgroupMatrix;
  const { rows, columns } = matrixBlock(subgroupMatrix, tile);
  const bytes = 2 * (step + 8) * (2 * rows + 2 * columns) + 8 * M * N * down * across;
  return (
    step % K === 0 &&
    subgroupSize * down * across <= limits.maxComputeInvocationsPerWorkgroup &&
    bytes <= limits.maxComputeWorkgroupStorageSize
  );
}

/** Rows and columns of the result that one workgroup computes. */
export function matrixBlock(
  { M, N }: Pick<SubgroupMatrix, 'M' | 'N'>,
  { down, across, rows, columns }: MatrixTile,
): { rows: number; columns: number } {
  return { rows: M * rows * down, columns: N * columns * across };
}

/** The kernel for one combination. */
export function matrixKernel(
  { subgroupSize, subgroupMatrix: { M, N, K, syntax } }: MatrixDevice,
  { down, across, rows, columns, step }: MatrixTile,
  type: ElementType,
  vec4: boolean,
  { activation, bias, residual }: Epilogue,
): Kernel<'matmul_matrix'> {
  const shape = [M, N, K, subgroupSize, down, across, rows, columns, step].join('x');
  const traits = [shape, syntax, type, activation, ...flagsOf({ bias, residual, vec4 })];
  return kernel('matmul_matrix', traits, () => ({
    constants: {
      SM: M,
      SN: N,
      SK: K,
      SG: subgroupSize,
      DOWN: down,
      ACROSS: across,
      TM: rows,
      TN: columns,
      STEP: step,
      SPLIT: type !== 'f16',
      HAS_BIAS: bias,
      HAS_RESIDUAL: residual,
      VEC4: vec4,
    },
    settings: { FLOATS: true },
    weights: type,
    activation,
    enable: ['f16', 'subgroups', 'chromium_experimental_subgroup_matrix'],
    rewrite: (text) => inSyntax(text, syntax),
  }));
}
