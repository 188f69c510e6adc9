// Kernels that treat every value or every row alike: activations, sums, norms, row copies, rotary embedding.

import { checkShape } from '../errors.ts';
import { isContiguous, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import { activateBackward, normalizeBackward, normalizeHeadsBackward } from './backward/elementwise.ts';
import { passBackward, sharesBackward } from './backward/rows.ts';
import { ELEMENT_THREADS, elementGrid, gridOf } from './grid.ts';
import { type Activation, kernel, reductionFor, type Scaling, traitOf } from './source.ts';
import type { Vector } from './weight.ts';

const WG = ELEMENT_THREADS;

/** act(x), or act(x) · gate: an MLP's activation apart from its product. Shapes equal and contiguous. */
export function activate(w: Work, x: Tensor, activation: Activation | Scaling, gate?: Tensor): Tensor {
  checkContiguous('activation', x, ...(gate ? [gate] : []));
  const source = kernel('activation', [traitOf(activation), gate && 'gated'], () => ({
    constants: { WG, HAS_GATE: !!gate },
    activation,
  }));
  const out = w.empty(x.rows, x.columns, 'activation');
  const count = x.rows * x.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(source, { X: x.buffer, Y: out.buffer, G: gate?.buffer }, { count, threads }, groups);
  w.tape?.note({
    operator: 'activation',
    reads: gate ? [x, gate] : [x],
    writes: [out],
    saves: gate ? [x, gate] : [x],
    backward: (b, [before, factor]) => {
      const y = b.gradient(out) as Tensor;
      activateBackward(b.w, before as Tensor, activation, factor, y, b.into(x), gate && b.into(gate));
    },
  });
  return out;
}

/** x + residual, both contiguous [R, C]. */
export function add(w: Work, x: Tensor, residual: Tensor): Tensor {
  checkContiguous('add', x, residual);
  const source = kernel('add', [], () => ({ constants: { WG } }));
  const out = w.empty(x.rows, x.columns, 'sum');
  const count = x.rows * x.columns;
  const { groups, threads } = elementGrid(w, count);
  w.dispatch(source, { X: x.buffer, R: residual.buffer, Y: out.buffer }, { count, threads }, groups);
  w.tape?.note({
    operator: 'sum',
    reads: [x, residual],
    writes: [out],
    backward: (b) => {
      passBackward(b, out, x, 'copy');
      passBackward(b, out, residual);
    },
  });
  return out;
}

/** Parameters of a LayerNorm, or without `shift` of an RMSNorm. */
export interface NormWeights {
  readonly scale: Vector;
  readonly shift?: Vector;
  readonly eps: number;
}

/** torch.nn.LayerNorm over the last dimension, or LlamaRMSNorm where there is no shift. x contiguous [R, C]. */
export function normalize(w: Work, x: Tensor, norm: NormWeights): Tensor {
  const { scale, shift, eps } = norm;
  checkContiguous('norm', x);
  for (const { name, length } of shift ? [scale, shift] : [scale])
    checkShape(length === x.columns, () => `norm: ${name} has ${length} values, input ${shapeOf(x)}`);
  const reduction = reductionFor(w.capabilities);
  const source = kernel('layer_norm', [!shift && 'rms', reduction.by, reduction.WG], () => ({
    name: `${shift ? 'layer' : 'rms'}_norm`,
    constants: { HAS_SHIFT: !!shift },
    reduction,
  }));
  const out = w.empty(x.rows, x.columns, 'normalized');
  const { groups, gridX } = gridOf(w, x.rows);
  w.dispatch(
    source,
    { X: x.buffer, scale: scale.buffer, Y: out.buffer, shift: shift?.buffer },
    { R: x.rows, C: x.columns, gridX, eps },
    groups,
  );
  w.tape?.note({
    operator: 'norm',
    reads: [x],
    writes: [out],
    saves: [x],
    backward: (b, [before]) => {
      const into = b.into(x);
      if (into) normalizeBackward(b.w, before, norm, b.gradient(out) as Tensor, into);
    },
  });
  return out;
}

/**
 * An RMSNorm of every head by itself, in place.
 *
 * @param x [R, heads · d_head]; may be a window of columns
 * @param norm scale [d_head], no shift
 */
export function normalizeHeads(w: Work, x: Tensor, heads: number, norm: NormWeights): void {
  const { scale, shift, eps } = norm;
  checkShape(
    !shift && scale.length * heads === x.columns,
    () => `norm of heads: ${scale.name} has ${scale.length} values, ${shapeOf(x)} are ${heads} heads`,
  );
  const reduction = reductionFor(w.capabilities);
  const source = kernel('norm_heads', [reduction.by, reduction.WG], () => ({ reduction }));
  const count = x.rows * heads;
  const { groups, gridX } = gridOf(w, count);
  const before = w.tape?.isLive(x) ? copyOf(w, x) : undefined;
  w.tape?.changing(x);
  w.dispatch(
    source,
    { X: x.buffer, scale: scale.buffer },
    { count, H: heads, D: scale.length, offset: x.offset, stride: x.stride, gridX, eps },
    groups,
  );
  if (!before) return;
  w.tape?.note({
    operator: 'norm of heads',
    reads: [x],
    writes: [x],
    saves: [before],
    backward: (b, [rows]) => normalizeHeadsBackward(b.w, rows, heads, norm, b.gradient(x) as Tensor),
  });
  w.release(before);
}

/** A copy without gaps. */
function copyOf(w: Work, x: Tensor): Tensor {
  const rows = Uint32Array.from({ length: x.rows }, (_, row) => row);
  return gatherRows(w, x, rows, w.empty(x.rows, x.columns, 'copy'));
}

/**
 * Every head of a row in a row of its own, 0 in the columns of the others.
 *
 * @param x [R, heads · d_head]; may be a window of columns
 * @returns [R · heads, heads · d_head]
 */
export function spreadHeads(w: Work, x: Tensor, heads: number): Tensor {
  checkShape(heads >= 1 && x.columns % heads === 0, () => `spreading ${shapeOf(x)}: not ${heads} heads`);
  const source = kernel('spread_heads', [], () => ({ constants: { WG } }));
  const count = x.rows * heads;
  const out = w.empty(count, x.columns, 'heads by themselves');
  const { groups, gridX } = gridOf(w, count);
  w.dispatch(
    source,
    { X: x.buffer, Y: out.buffer },
    { count, H: heads, D: x.columns / heads, offset: x.offset, stride: x.stride, gridX },
    groups,
  );
  return out;
}

/** Copies rows `index` of x into the rows of `out`, in order. `out` is [index.length, C] in another buffer than x. */
export function gatherRows(w: Work, x: Tensor, index: Uint32Array, out: Tensor): Tensor {
  checkShape(
    out.rows === index.length && out.columns === x.columns,
    () => `gathering ${index.length} rows of ${shapeOf(x)} into ${shapeOf(out)}`,
  );
  const beyond = index.find((row) => row >= x.rows);
  checkShape(beyond === undefined, () => `gathering row ${beyond} of ${shapeOf(x)}`);
  if (index.length === 0) return out;
  const source = kernel('gather_rows', [], () => ({ constants: { WG } }));
  const rows = w.shareWords(index, 'row index');
  const { groups, gridX } = gridOf(w, index.length);
  w.dispatch(
    source,
    { X: x.buffer, index: rows, Y: out.buffer },
    {
      R: index.length,
      C: x.columns,
      xOffset: x.offset,
      xStride: x.stride,
      yOffset: out.offset,
      yStride: out.stride,
      gridX,
    },
    groups,
  );
  w.release(rows);
  w.tape?.note({
    operator: 'copy of rows',
    reads: [x],
    writes: [out],
    backward: (b) => {
      sharesBackward(
        b,
        out,
        x,
        Array.from(index, (of, row) => ({ of, in: row, share: 1 })),
      );
      b.overwritten(out);
    },
  });
  return out;
}

/** Copies rows that follow each other into others of another buffer. Both without gaps between them. */
export function copyRows(w: Work, from: Tensor, to: Tensor): void {
  const { rows, columns } = from;
  checkShape(
    from.stride === columns && to.stride === columns && to.rows === rows && to.columns === columns,
    () => `copying rows ${shapeOf(from)} to ${shapeOf(to)}`,
  );
  if (rows === 0) return;
  w.copy(from.buffer, 4 * from.offset, to.buffer, 4 * to.offset, 4 * rows * columns);
  w.tape?.note({
    operator: 'copy of rows',
    reads: [from],
    writes: [to],
    backward: (b) => {
      passBackward(b, to, from);
      b.overwritten(to);
    },
  });
}

/**
 * x[to] += source[from] for pairs of rows, in place.
 *
 * @param x contiguous [*, C]
 * @param source contiguous [*, C] in another buffer
 * @param pairs [to, from, to, from, …]; no row of x twice
 */
export function addRows(w: Work, x: Tensor, source: Tensor, pairs: Uint32Array): void {
  checkShape(
    isContiguous(x) && isContiguous(source) && x.columns === source.columns,
    () => `adding rows of ${shapeOf(source)} to ${shapeOf(x)}`,
  );
  const beyond = pairs.findIndex((row, i) => row >= (i % 2 === 0 ? x : source).rows);
  checkShape(
    beyond < 0,
    () => `adding rows: row ${pairs[beyond]} of ${shapeOf(beyond % 2 === 0 ? x : source)}`,
  );
  if (pairs.length === 0) return;
  w.tape?.changing(x);
  const kernelSource = kernel('add_rows', [], () => ({ constants: { WG } }));
  const table = w.uploadWords(pairs, 'pairs of rows');
  const { groups, gridX } = gridOf(w, pairs.length / 2);
  w.dispatch(
    kernelSource,
    { X: x.buffer, S: source.buffer, pairs: table },
    { R: pairs.length / 2, C: x.columns, gridX },
    groups,
  );
  w.release(table);
  w.tape?.note({
    operator: 'sum of rows',
    reads: [x, source],
    writes: [x],
    backward: (b) => {
      const shares = Array.from({ length: pairs.length / 2 }, (_, i) => ({
        of: pairs[2 * i + 1] as number,
        in: pairs[2 * i] as number,
        share: 1,
      }));
      sharesBackward(b, x, source, shares);
    },
  });
}

/** The mean of each group of rows of x: [groups, C]. */
export function meanRows(w: Work, x: Tensor, groups: readonly (readonly number[])[]): Tensor {
  const beyond = groups.flat().find((row) => !(row >= 0 && row < x.rows));
  checkShape(beyond === undefined, () => `mean over row ${beyond} of ${shapeOf(x)}`);
  const empty = groups.findIndex((rows) => rows.length === 0);
  checkShape(empty < 0, () => `group ${empty} of ${groups.length} has no rows to take the mean of`);
  const source = kernel('mean_rows', [], () => ({ constants: { WG } }));
  const out = w.empty(groups.length, x.columns, 'mean of rows');
  let first = 0;
  const spans = groups.flatMap((rows) => {
    const span = [first, rows.length];
    first += rows.length;
    return span;
  });
  const table = w.uploadWords(Uint32Array.from(spans), 'groups');
  const rows = w.uploadWords(Uint32Array.from(groups.flat()), 'rows of groups');
  const grid = gridOf(w, groups.length);
  w.dispatch(
    source,
    { X: x.buffer, groups: table, rows, Y: out.buffer },
    { R: groups.length, C: x.columns, offset: x.offset, stride: x.stride, gridX: grid.gridX },
    grid.groups,
  );
  w.release(table);
  w.release(rows);
  w.tape?.note({
    operator: 'mean of rows',
    reads: [x],
    writes: [out],
    backward: (b) =>
      sharesBackward(
        b,
        out,
        x,
        groups.flatMap((own, group) => own.map((of) => ({ of, in: group, share: 1 / own.length }))),
      ),
  });
  return out;
}

/**
 * Rotary position embedding in place, as LlamaRotaryEmbedding and apply_rotary_pos_emb.
 *
 * @param x [R, heads · d_head]; may be a window of columns
 * @param positions [R] u32: rows of the table
 * @param table [*, d_head / 2] of (cos, sin), see {@link rotaryTable}
 * @param back turns the other way, as gradients are
 */
export function rotate(
  w: Work,
  x: Tensor,
  heads: number,
  positions: GPUBuffer,
  table: GPUBuffer,
  back = false,
): void {
  checkShape(x.columns % (2 * heads) === 0, () => `rotary: ${shapeOf(x)} is not ${heads} heads of even size`);
  const source = kernel('rotary', [back && 'back'], () => ({ constants: { WG }, settings: { BACK: back } }));
  const half = x.columns / heads / 2;
  const count = x.rows * heads * half;
  const { groups, threads } = elementGrid(w, count);
  w.tape?.changing(x);
  w.dispatch(
    source,
    { X: x.buffer, positions, table },
    { count, threads, H: heads, half, offset: x.offset, stride: x.stride },
    groups,
  );
  w.tape?.note({
    operator: 'rotary embedding',
    reads: [x],
    writes: [x],
    saves: [positions, table],
    backward: (b, saved) => rotate(b.w, b.gradient(x) as Tensor, heads, ...saved, true),
  });
}

/** What turns one pair of a head's features: a coordinate of the position, and the angle per unit of it. */
export interface Turn {
  readonly axis: number;
  readonly frequency: number;
}

/**
 * (cos, sin) of every position's angles, [positions, turns, 2].
 *
 * @param positions the coordinates of each, as many as axes are turned by
 */
export function rotaryTable(
  positions: readonly (readonly number[])[],
  turns: readonly Turn[],
): Float32Array<ArrayBuffer> {
  const table = new Float32Array(2 * positions.length * turns.length);
  let at = 0;
  for (const coordinates of positions) {
    for (const { axis, frequency } of turns) {
      // Hugging Face holds frequencies and angles in f32; so do we.
      const angle = Math.fround((coordinates[axis] as number) * Math.fround(frequency));
      table[at++] = Math.cos(angle);
      table[at++] = Math.sin(angle);
    }
  }
  return table;
}

function checkContiguous(kernel: string, ...tensors: readonly Tensor[]): void {
  const [first] = tensors;
  for (const tensor of tensors) {
    checkShape(
      isContiguous(tensor),
      () => `${kernel}: expects contiguous rows, found a window ${shapeOf(tensor)}`,
    );
    checkShape(
      tensor.rows === first?.rows && tensor.columns === first.columns,
      () => `${kernel}: shapes ${tensors.map(shapeOf).join(' and ')} differ`,
    );
  }
}
