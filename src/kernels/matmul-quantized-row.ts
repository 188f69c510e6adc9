// One row times a quantised weight on a GPU: what generation spends its time with.

import type { Capabilities } from '../gpu/index.ts';
import { type Epilogue, flagsOf } from './matmul-operands.ts';
import { CHUNK } from './matmul-variant.ts';
import { type Kernel, kernel } from './source.ts';
import { CODES_PER_WORD, NF4_BLOCK, type QuantizedType } from './weight.ts';

/** `columns` values of the row with `columns` · `lanes` threads. */
export interface QuantizedRow {
  readonly columns: number;
  /** Chunks of a column that are done at a time. */
  readonly lanes: number;
}

/** Threads of a workgroup: so many that its codes fit the 16 KiB of workgroup memory that every device has. */
const THREADS: Readonly<Record<QuantizedType, number>> = { nf4: 128, int8: 64 };

/**
 * The kernel's shape for A [m, columns] on a device. Not measured.
 *
 * @returns undefined where another kernel is to be taken
 */
export function quantizedRow(
  { software }: Pick<Capabilities, 'software'>,
  m: number,
  columns: number,
  type: QuantizedType,
): QuantizedRow | undefined {
  if (software || m !== 1 || columns % NF4_BLOCK !== 0) return undefined;
  const lanes = columns > 8 * CHUNK ? 32 : 8; // few chunks leave most lanes idle
  return { columns: THREADS[type] / lanes, lanes };
}

/** The kernel for one combination. */
export function quantizedRowKernel(
  { columns, lanes }: QuantizedRow,
  type: QuantizedType,
  vec4: boolean,
  { activation, bias, residual }: Epilogue,
): Kernel<'matmul_quantized_row'> {
  const traits = [`${columns}x${lanes}`, type, activation, ...flagsOf({ bias, residual, vec4 })];
  return kernel('matmul_quantized_row', traits, () => ({
    constants: {
      CHUNK,
      NR: columns,
      LANES: lanes,
      WG: columns * lanes,
      NF4: type === 'nf4',
      CODES: CODES_PER_WORD[type],
      HAS_BIAS: bias,
      HAS_RESIDUAL: residual,
      OPTIONAL: Number(bias) + Number(residual),
      VEC4: vec4,
    },
    settings: { FLOATS: false },
    weights: type,
    activation,
  }));
}
