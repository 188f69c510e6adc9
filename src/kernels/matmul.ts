import { checkShape } from '../errors.ts';
import { type KernelSource, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { matmulBackward } from './backward/matmul.ts';
import { passBackward } from './backward/rows.ts';
import { activate } from './elementwise.ts';
import { matrixBlock, matrixKernel, matrixTile } from './matmul-matrix.ts';
import { type Epilogue, flagsOf, rowWindows } from './matmul-operands.ts';
import { quantizedKernel, quantizedTile } from './matmul-quantized.ts';
import { quantizedRow, quantizedRowKernel } from './matmul-quantized-row.ts';
import { blockOf, CHUNK, chooseMatmul, type MatmulVariant } from './matmul-variant.ts';
import { floatParts } from './quantize.ts';
import { type Activation, type Kernel, kernel } from './source.ts';
import {
  type ElementType,
  isQuantized,
  type LinearWeight,
  type QuantizedPart,
  type Vector,
  type WeightPart,
} from './weight.ts';

export interface MatmulOptions {
  readonly bias?: Vector | undefined;
  /** Applied to the product with its bias. */
  readonly activation?: Activation;
  /** [M, N], added last. */
  readonly residual?: Tensor | undefined;
  /** Where the result goes, [M, N]; default a new tensor. */
  readonly out?: Tensor | undefined;
  /** Default: {@link chooseMatmul}. For tests and benchmarks. */
  readonly variant?: MatmulVariant;
}

/** What the text of a kernel depends on. */
interface MatmulTraits extends Epilogue {
  readonly type: ElementType;
  /** Rows of A can be read in fours. */
  readonly vec4: boolean;
  /** K is no multiple of a subgroup. */
  readonly tail: boolean;
}

function matmulKernel(
  variant: MatmulVariant,
  { type, activation, bias, residual, vec4, tail }: MatmulTraits,
): Kernel<MatmulVariant['kernel']> {
  const { kernel: shader, rows, columns, threads } = variant;
  const tile = shader === 'matmul_tile' ? variant : undefined;
  const row = shader === 'matmul_row' ? variant : undefined;
  const subgroup = shader === 'matmul_subgroup';
  const own = tile ? [tile.down, tile.across, tile.quads] : row ? [row.lanes, row.quads] : [];
  const shape = [rows, columns, threads, ...own].join('x');
  const flags = { bias, residual, vec4: (tile ?? row) !== undefined && vec4, tail: subgroup && tail };
  return kernel(shader, [shape, type, activation, ...flagsOf(flags)], () => ({
    constants: {
      CHUNK,
      MR: rows,
      NR: columns,
      HAS_BIAS: bias,
      HAS_RESIDUAL: residual,
      VEC4: flags.vec4,
      ...(subgroup ? { SG: threads, QUADS: threads / 4, TAIL: tail } : { WG: threads }),
      ...(row ? { LANES: row.lanes, QUADS: row.quads } : {}),
      ...(tile ? { TX: tile.across, TY: tile.down, QUADS: tile.quads } : {}),
    },
    settings: { FLOATS: true },
    weights: type,
    activation,
    enable: subgroup ? ['subgroups'] : [],
  }));
}

/**
 * act(A · Wᵀ + bias) + residual, as torch.nn.functional.linear with its weight [out, in].
 *
 * @param a [M, K]; may be a window of columns
 * @param weight [N, K] f32, f16, bf16, NF4 or int8; a quantised one gives the bits of its values as f32
 * @returns [M, N] f32. A row's values do not depend on the other rows of `a`. On a device with `subgroupMatrices`, products
 *   with weights in floats are rounded as matmul_matrix.wgsl says, about as finely as f32.
 * @throws ShapeError
 */
export function matmul(w: Work, a: Tensor, weight: LinearWeight, options: MatmulOptions = {}): Tensor {
  const { bias, residual } = options;
  if (w.tape?.isLive(a) && options.activation !== undefined) return activatedMatmul(w, a, weight, options);
  const out = options.out ?? w.empty(a.rows, weight.rows, `${weight.name} · x`);
  checkShape(
    a.columns === weight.columns,
    () => `matmul with ${weight.name} [${weight.rows}, ${weight.columns}]: the input is ${shapeOf(a)}`,
  );
  checkShape(
    out.rows === a.rows && out.columns === weight.rows,
    () => `matmul with ${weight.name}: result ${shapeOf(out)}, expected [${a.rows}, ${weight.rows}]`,
  );
  checkShape(
    !residual || (residual.rows === a.rows && residual.columns === weight.rows),
    () => `matmul with ${weight.name}: residual ${residual && shapeOf(residual)}, expected ${shapeOf(out)}`,
  );
  checkShape(
    !bias || bias.length === weight.rows,
    () => `matmul with ${weight.name}: bias ${bias?.name} has ${bias?.length} values, not ${weight.rows}`,
  );
  const { source, block, parts } = plan(w, a, weight, options);
  const { maxDispatchFlops } = w.capabilities;
  for (const part of parts)
    for (const { first, rows } of rowWindows(a.rows, block.rows, 2 * part.rows * a.columns, maxDispatchFlops))
      w.dispatch(
        source,
        {
          A: a.buffer,
          W: part.buffer,
          C: out.buffer,
          bias: bias?.buffer,
          R: residual?.buffer,
          scales: 'scales' in part ? part.scales : undefined,
        },
        {
          M: rows,
          N: part.rows,
          K: a.columns,
          nFirst: part.firstRow,
          aOffset: a.offset + first * a.stride,
          aStride: a.stride,
          wStride: weight.stride,
          rOffset: residual ? residual.offset + first * residual.stride : 0,
          rStride: residual?.stride ?? 0,
          cOffset: out.offset + first * out.stride,
          cStride: out.stride,
        },
        [Math.ceil(part.rows / block.columns), Math.ceil(rows / block.rows), 1],
        2 * rows * part.rows * a.columns,
      );
  w.tape?.note({
    operator: 'product with a weight',
    reads: residual ? [a, residual] : [a],
    writes: [out],
    backward: (b) => {
      const into = b.into(a);
      if (into) matmulBackward(b.w, b.gradient(out) as Tensor, weight, into.tensor, into.accumulate);
      if (residual) passBackward(b, out, residual);
    },
  });
  return out;
}

/** Product and activation apart, with the same bits: the derivative needs what is between them. */
function activatedMatmul(
  w: Work,
  a: Tensor,
  weight: LinearWeight,
  { activation = 'none', ...options }: MatmulOptions,
): Tensor {
  if (options.residual || options.out) w.tape?.refuse('product with an activation before a sum', a);
  const product = matmul(w, a, weight, options);
  const activated = activate(w, product, activation);
  w.release(product);
  return activated;
}

type Float = Kernel<'matmul_tile'>;
/** Of a weight in floats, or of a quantised one, which has scales besides. */
type MatmulKernel = KernelSource<
  Float['bindings'] & Partial<Pick<Kernel<'matmul_quantized'>['bindings'], 'scales'>>,
  Float['params']
>;

interface Plan {
  readonly source: MatmulKernel;
  /** What one workgroup computes. */
  readonly block: { readonly rows: number; readonly columns: number };
  /** What the kernel is run with, part by part. */
  readonly parts: Iterable<WeightPart | QuantizedPart>;
}

function plan(
  w: Work,
  a: Tensor,
  weight: LinearWeight,
  { bias, activation = 'none', residual, variant }: MatmulOptions,
): Plan {
  const { capabilities } = w;
  const epilogue = { activation, bias: bias !== undefined, residual: residual !== undefined };
  const vec4 = [a.columns, a.stride, a.offset].every((count) => count % 4 === 0);
  if (isQuantized(weight) && !variant) {
    const row = quantizedRow(capabilities, a.rows, a.columns, weight.type);
    if (row)
      return {
        source: quantizedRowKernel(row, weight.type, vec4, epilogue),
        block: { rows: 1, columns: row.columns },
        parts: weight.parts,
      };
    const tile = quantizedTile(capabilities, a.rows, a.columns);
    if (tile)
      return {
        source: quantizedKernel(capabilities, tile, weight.type, epilogue),
        block: { rows: tile.rows, columns: tile.columns * tile.threads },
        parts: weight.parts,
      };
  }
  const type = isQuantized(weight) ? 'f32' : weight.type;
  const { subgroupMatrix } = capabilities;
  if (subgroupMatrix && !variant && !isQuantized(weight)) {
    const device = { ...capabilities, subgroupMatrix };
    const matrices = matrixTile(device, a.rows, weight.rows);
    if (matrices)
      return {
        source: matrixKernel(device, matrices, type, vec4, epilogue),
        block: matrixBlock(subgroupMatrix, matrices),
        parts: weight.parts,
      };
  }
  const chosen = variant ?? chooseMatmul(capabilities, a.rows, weight.rows, type);
  const source = matmulKernel(chosen, {
    ...epilogue,
    type,
    vec4,
    tail: a.columns % chosen.threads !== 0,
  });
  return { source, block: blockOf(chosen), parts: floatParts(w, weight) };
}
