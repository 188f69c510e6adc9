// Products with quantised weights. Few rows: a kernel that makes the weight's values in registers, so that no more than its
// codes is read. More rows: the weight is made into f32, some of its rows at a time (quantize.ts), which costs
// little beside the product, and the usual kernels take it from there. Both give the same bits.

import type { Capabilities } from '../gpu/index.ts';
import { deviceClass } from './device-class.ts';
import { type Epilogue, flagsOf } from './matmul-operands.ts';
import { CHUNK, type LaneVariant } from './matmul-variant.ts';
import { type Kernel, kernel } from './source.ts';
import { CODES_PER_WORD, NF4_BLOCK, type QuantizedWeight } from './weight.ts';

/** A tile of matmul_quantized, as that of a kernel in which threads own columns. */
export type QuantizedTile = Pick<LaneVariant, 'rows' | 'columns' | 'threads'>;

/**
 * The most rows for which values are made in registers: once for each tile, of at most four rows. Software: measured
 * (bench/RESULTS.md). GPU: not measured; up to here the f32 values would be more to move than the tiles' codes.
 */
const MOST_ROWS = { software: 4, gpu: 16 } as const;

/**
 * The tile for A [m, columns] on a device.
 *
 * @returns undefined where the weight is to be made into f32
 */
export function quantizedTile(
  device: Pick<Capabilities, 'software' | 'subgroupSize'>,
  m: number,
  columns: number,
): QuantizedTile | undefined {
  const { software, subgroupSize } = device;
  // Then rows are made of whole blocks and of whole 16 bytes.
  if (columns % NF4_BLOCK !== 0 || m > MOST_ROWS[software ? 'software' : 'gpu']) return undefined;
  return {
    rows: m === 1 ? 1 : 4,
    columns: software ? 2 : 1,
    threads: usesSubgroups(device) ? subgroupSize : 32,
  };
}

/** The kernel for one combination. */
export function quantizedKernel(
  device: Pick<Capabilities, 'software' | 'subgroupSize'>,
  { rows, columns, threads }: QuantizedTile,
  type: QuantizedWeight['type'],
  { activation, bias, residual }: Epilogue,
): Kernel<'matmul_quantized'> {
  const subgroups = usesSubgroups(device);
  const flags = flagsOf({ bias, residual, subgroups });
  const codes = CODES_PER_WORD[type];
  const lanes = subgroups ? threads : 4 * codes;
  const shape = [rows, columns, threads].join('x');
  return kernel('matmul_quantized', [shape, type, activation, ...flags], () => ({
    constants: {
      CHUNK,
      WG: threads,
      MR: rows,
      NR: columns,
      NF4: type === 'nf4',
      CODES: codes,
      LANES: lanes,
      SHARES: (4 * codes) / lanes,
      SUBGROUPS: subgroups,
      HAS_BIAS: bias,
      HAS_RESIDUAL: residual,
      OPTIONAL: Number(bias) + Number(residual),
      VEC4: false,
    },
    weights: type,
    activation,
    enable: subgroups ? ['subgroups'] : [],
  }));
}

/** Software adapters whose subgroup is one SIMD register of a known size. */
function usesSubgroups(device: Pick<Capabilities, 'software' | 'subgroupSize'>): boolean {
  const kind = deviceClass(device);
  return kind === 'software-4' || kind === 'software-8';
}
