// Attention in three kernels: scores, softmax, values. Fusing them gains nothing where it was measured, and the scores
// and patterns in between are what an interpretability tool wants to read and edit.

import { checkShape } from '../errors.ts';
import { type KernelSource, shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import type { AttentionChunk, AttentionPlan } from './attention-plan.ts';
import { deviceClass } from './device-class.ts';
import { assemble, once, reductionFor } from './source.ts';

/** Shapes of an attention layer. */
export interface AttentionShape {
  readonly heads: number;
  /** Key and value heads; each serves `heads / keyHeads` query heads. */
  readonly keyHeads: number;
  readonly headSize: number;
}

/** A plan's tables in GPU memory. */
export interface AttentionTables {
  readonly plan: AttentionPlan;
  readonly entries: GPUBuffer;
  readonly tiles: GPUBuffer;
  readonly keys: GPUBuffer;
}

export function uploadPlan(w: Work, plan: AttentionPlan): AttentionTables {
  return {
    plan,
    entries: w.uploadWords(plan.entries, 'attention entries'),
    tiles: w.uploadWords(plan.tiles, 'attention tiles'),
    keys: w.uploadWords(plan.keys, 'attention keys'),
  };
}

export function releasePlan(w: Work, tables: AttentionTables): void {
  for (const buffer of [tables.entries, tables.tiles, tables.keys]) w.release(buffer);
}

const SCORES = {
  H: 'u32',
  G: 'u32',
  D: 'u32',
  pitch: 'u32',
  qOffset: 'u32',
  qStride: 'u32',
  kOffset: 'u32',
  kStride: 'u32',
  firstTile: 'u32',
  firstEntry: 'u32',
  scale: 'f32',
  minusInfinity: 'u32',
} as const;

const MINUS_INFINITY_BITS = 0xff800000;

/** Lanes of the attention kernels on a device, and whether they exchange values. */
function lanes(w: Work): { SG: number; SUBGROUPS: number; enable: readonly string[] } {
  return deviceClass(w.capabilities).startsWith('software-')
    ? { SG: w.capabilities.subgroupSize, SUBGROUPS: 1, enable: ['subgroups'] }
    : { SG: 32, SUBGROUPS: 0, enable: [] };
}

/** A kernel of scores: with keys and queries in workgroup memory, or read by every lane for itself. */
export type ScoresKernel = 'attention_scores' | 'attention_scores_tile';

/** Threads of a workgroup and features at a time, in fours, of the kernel with workgroup memory. */
const TILE = { SG: 64, QUADS: 8 };

function scoresKernel(
  w: Work,
  kernel: ScoresKernel,
  tileRows: number,
  headSize: number,
  vec4: boolean,
): { source: KernelSource<typeof SCORES>; keys: number } {
  const { SG, SUBGROUPS, enable } = lanes(w);
  const step = SUBGROUPS ? SG : 4;
  const columns = SUBGROUPS ? 4 : 1;
  const tail = headSize % step !== 0;
  const constants = { MR: tileRows, VEC4: Number(vec4) };
  const bindings = ['read', 'read', 'read', 'read', 'read', 'read_write'] as const;
  const assembly = { include: 'attention_scores_operands' } as const;
  const traits = `${tileRows}${vec4 ? ' vec4' : ''}`;
  if (kernel === 'attention_scores_tile') {
    const name = `${kernel} ${traits}`;
    const source = once(name, (): KernelSource<typeof SCORES> => {
      const code = assemble(kernel, { ...assembly, constants: { ...constants, ...TILE } });
      return { name, code, bindings, params: SCORES };
    });
    return { source, keys: TILE.SG };
  }
  const name = `${kernel} ${traits} ${SG}x${columns}${SUBGROUPS ? ' subgroups' : ''}${tail ? ' tail' : ''}`;
  const source = once(name, (): KernelSource<typeof SCORES> => {
    const own = { SG, SUBGROUPS, NR: columns, STEP: step, QUADS: step / 4, TAIL: Number(tail) };
    const code = assemble(kernel, { ...assembly, constants: { ...constants, ...own } });
    return { name, code, bindings, params: SCORES, enable };
  });
  return { source, keys: SG * columns };
}

/** Whether heads can be read four features at a time. */
function aligned(tensor: Tensor, headSize: number): boolean {
  return headSize % 4 === 0 && tensor.stride % 4 === 0 && tensor.offset % 4 === 0;
}

/**
 * scale · Q Kᵀ for one chunk of a plan; −infinity for keys that a query does not see.
 *
 * @param q rows [heads · d_head]
 * @param k rows [keyHeads · d_head]
 * @param kernel all give the same bits
 * @returns [entries, heads · pitch]
 */
export function attentionScores(
  w: Work,
  q: Tensor,
  k: Tensor,
  { heads, keyHeads, headSize }: AttentionShape,
  tables: AttentionTables,
  chunk: AttentionChunk,
  kernel: ScoresKernel = w.capabilities.software ? 'attention_scores' : 'attention_scores_tile',
): Tensor {
  checkHeads('queries', q, heads, headSize);
  checkHeads('keys', k, keyHeads, headSize);
  checkShape(heads % keyHeads === 0, () => `attention: ${heads} heads cannot share ${keyHeads} key heads`);
  const { tileRows, pitch } = tables.plan;
  const { source, keys } = scoresKernel(w, kernel, tileRows, headSize, aligned(k, headSize));
  const scores = w.empty(chunk.entries, heads * pitch, 'attention scores');
  w.dispatch(
    source,
    [q.buffer, k.buffer, tables.entries, tables.tiles, tables.keys, scores.buffer],
    {
      H: heads,
      G: keyHeads,
      D: headSize,
      pitch,
      qOffset: q.offset,
      qStride: q.stride,
      kOffset: k.offset,
      kStride: k.stride,
      firstTile: chunk.firstTile,
      firstEntry: chunk.firstEntry,
      scale: 1 / Math.sqrt(headSize),
      minusInfinity: MINUS_INFINITY_BITS,
    },
    [Math.ceil(pitch / keys), chunk.tiles, heads],
    2 * heads * headSize * chunk.keysSeen,
  );
  return scores;
}

const SOFTMAX = { H: 'u32', pitch: 'u32', firstEntry: 'u32' } as const;

/** Turns a chunk's scores into its pattern, in place; the padding of a row becomes 0. */
export function attentionSoftmax(
  w: Work,
  scores: Tensor,
  heads: number,
  tables: AttentionTables,
  chunk: AttentionChunk,
): void {
  const { reduction, WG, enable } = reductionFor(w.capabilities);
  const source = once(
    `attention_softmax ${reduction} ${WG}`,
    (): KernelSource<typeof SOFTMAX> => ({
      name: 'attention_softmax',
      code: assemble('attention_softmax', { constants: { WG }, reduction }),
      bindings: ['read', 'read_write'],
      params: SOFTMAX,
      enable,
    }),
  );
  w.dispatch(
    source,
    [tables.entries, scores.buffer],
    { H: heads, pitch: tables.plan.pitch, firstEntry: chunk.firstEntry },
    [heads, chunk.entries, 1],
  );
}

const VALUES = {
  H: 'u32',
  G: 'u32',
  D: 'u32',
  pitch: 'u32',
  vOffset: 'u32',
  vStride: 'u32',
  zOffset: 'u32',
  zStride: 'u32',
  firstTile: 'u32',
  firstEntry: 'u32',
} as const;

function checkHeads(what: string, tensor: Tensor, heads: number, headSize: number): void {
  checkShape(
    tensor.columns === heads * headSize,
    () => `attention: ${what} ${shapeOf(tensor)} are not ${heads} heads of ${headSize} features`,
  );
}

/** pattern · V for one chunk, written into the rows of `z` [*, heads · d_head] that its entries name. */
export function attentionValues(
  w: Work,
  pattern: Tensor,
  v: Tensor,
  z: Tensor,
  { heads, keyHeads, headSize }: AttentionShape,
  tables: AttentionTables,
  chunk: AttentionChunk,
): void {
  checkHeads('values', v, keyHeads, headSize);
  checkHeads('results', z, heads, headSize);
  const { SG, SUBGROUPS, enable } = lanes(w);
  const vec4 = Number(aligned(v, headSize));
  const { tileRows, pitch } = tables.plan;
  const name = `attention_values ${tileRows}x${SG}${SUBGROUPS ? ' subgroups' : ''}${vec4 ? ' vec4' : ''}`;
  const source = once(
    name,
    (): KernelSource<typeof VALUES> => ({
      name,
      code: assemble('attention_values', {
        constants: { SG, SUBGROUPS, VEC4: vec4, MR: tileRows, STEP: SUBGROUPS ? SG : 4 },
      }),
      bindings: ['read', 'read', 'read', 'read', 'read', 'read_write'],
      params: VALUES,
      enable,
    }),
  );
  w.dispatch(
    source,
    [pattern.buffer, v.buffer, tables.entries, tables.tiles, tables.keys, z.buffer],
    {
      H: heads,
      G: keyHeads,
      D: headSize,
      pitch,
      vOffset: v.offset,
      vStride: v.stride,
      zOffset: z.offset,
      zStride: z.stride,
      firstTile: chunk.firstTile,
      firstEntry: chunk.firstEntry,
    },
    [Math.ceil(headSize / (4 * SG)), chunk.tiles, heads],
    2 * heads * headSize * chunk.keysSeen,
  );
}
