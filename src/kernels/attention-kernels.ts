// The kernels of attention, which is noted nowhere: attention.ts.

import { checkShape } from '../errors.ts';
import { shapeOf, type Tensor, type Work } from '../gpu/index.ts';
import type { AttentionChunk, AttentionPlan } from './attention-plan.ts';
import { deviceClass } from './device-class.ts';
import { type Kernel, kernel, reductionFor, type Scaling, traitOf } from './source.ts';

/** Shapes of an attention layer. */
export interface AttentionShape {
  readonly heads: number;
  /** Key and value heads; each serves `heads / keyHeads` query heads. */
  readonly keyHeads: number;
  readonly headSize: number;
  /** What products of query and key are multiplied by; default d_head^−½. */
  readonly scoreScale?: number | undefined;
  /** Scores are kept within ± this before they are masked: cap · tanh(score / cap). */
  readonly scoreSoftcap?: number | undefined;
}

/** A plan's tables in GPU memory. */
export interface AttentionTables {
  readonly plan: AttentionPlan;
  readonly entries: GPUBuffer;
  readonly tiles: GPUBuffer;
  readonly keys: GPUBuffer;
  /** First keys of the entries, where some see none from their columns' beginning. */
  readonly firsts: GPUBuffer | undefined;
}

export function uploadPlan(w: Work, plan: AttentionPlan): AttentionTables {
  return {
    plan,
    entries: w.shareWords(plan.entries, 'attention entries'),
    tiles: w.shareWords(plan.tiles, 'attention tiles'),
    keys: w.shareWords(plan.keys, 'attention keys'),
    firsts: plan.firsts && w.shareWords(plan.firsts, 'first keys'),
  };
}

export function releasePlan(w: Work, tables: AttentionTables): void {
  for (const buffer of [tables.entries, tables.tiles, tables.keys, tables.firsts])
    if (buffer) w.release(buffer);
}

const MINUS_INFINITY_BITS = 0xff800000;

/** Lanes of the attention kernels on a device, and whether they exchange values. */
export function lanesOf(w: Work) {
  return deviceClass(w.capabilities).startsWith('software-')
    ? { SG: w.capabilities.subgroupSize, SUBGROUPS: true, enable: ['subgroups'] }
    : { SG: 32, SUBGROUPS: false };
}

/** A kernel of scores: with keys and queries in workgroup memory, or read by every lane for itself. */
export type ScoresKernel = 'attention_scores' | 'attention_scores_tile';

/** Threads of a workgroup and features at a time, in fours, of the kernel with workgroup memory. */
const TILE = { SG: 64, QUADS: 8 };

function scoresKernel(
  w: Work,
  shader: ScoresKernel,
  tileRows: number,
  headSize: number,
  vec4: boolean,
  { lower, softcap }: { readonly lower: boolean; readonly softcap: Scaling | undefined },
): { source: Kernel<ScoresKernel>; keys: number } {
  const { SG, SUBGROUPS, enable } = lanesOf(w);
  const step = SUBGROUPS ? SG : 4;
  const columns = SUBGROUPS ? 4 : 1;
  const tail = headSize % step !== 0;
  const constants = { MR: tileRows, VEC4: vec4 };
  const traits = [tileRows, vec4 && 'vec4', lower && 'lower', softcap && traitOf(softcap)];
  const settings = { LOWER: lower, SOFTCAP: softcap !== undefined };
  const recipe = { settings, activation: softcap };
  if (shader === 'attention_scores_tile') {
    const source = kernel(shader, traits, () => ({ ...recipe, constants: { ...constants, ...TILE } }));
    return { source, keys: TILE.SG };
  }
  traits.push(`${SG}x${columns}`, SUBGROUPS && 'subgroups', tail && 'tail');
  const own = { SG, SUBGROUPS, NR: columns, STEP: step, QUADS: step / 4, TAIL: tail };
  const source = kernel(shader, traits, () => ({ ...recipe, constants: { ...constants, ...own }, enable }));
  return { source, keys: SG * columns };
}

/** Whether heads can be read four features at a time. */
export function isAligned(tensor: Tensor, headSize: number): boolean {
  return headSize % 4 === 0 && tensor.stride % 4 === 0 && tensor.offset % 4 === 0;
}

/**
 * scale · Q Kᵀ, softcapped where the shape says so, for one chunk of a plan; −infinity for keys that a query does not see.
 *
 * @param q rows [heads · d_head]
 * @param k rows [keyHeads · d_head]
 * @param shader all give the same bits
 * @param out where they go; default a new tensor
 * @returns [entries, heads · pitch]
 */
export function computeScores(
  w: Work,
  q: Tensor,
  k: Tensor,
  shape: AttentionShape,
  tables: AttentionTables,
  chunk: AttentionChunk,
  {
    shader = w.capabilities.software ? 'attention_scores' : 'attention_scores_tile',
    out,
  }: { readonly shader?: ScoresKernel | undefined; readonly out?: Tensor } = {},
): Tensor {
  const { heads, keyHeads, headSize, scoreScale = 1 / Math.sqrt(headSize), scoreSoftcap } = shape;
  checkHeads('queries', q, heads, headSize);
  checkHeads('keys', k, keyHeads, headSize);
  checkShape(heads % keyHeads === 0, () => `attention: ${heads} heads cannot share ${keyHeads} key heads`);
  const { entries, tiles, keys, firsts } = tables;
  const { tileRows, pitch } = tables.plan;
  const softcap = scoreSoftcap === undefined ? undefined : { cap: scoreSoftcap, scale: scoreScale };
  const settings = { lower: firsts !== undefined, softcap };
  const { source, keys: columns } = scoresKernel(
    w,
    shader,
    tileRows,
    headSize,
    isAligned(k, headSize),
    settings,
  );
  const scores = out ?? w.empty(chunk.entries, heads * pitch, 'attention scores');
  w.dispatch(
    source,
    { Q: q.buffer, K: k.buffer, entries, tiles, keys, S: scores.buffer, firsts },
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
      scale: softcap ? 1 : scoreScale,
      minusInfinity: MINUS_INFINITY_BITS,
    },
    [Math.ceil(pitch / columns), chunk.tiles, heads],
    2 * heads * headSize * chunk.keysSeen,
  );
  return scores;
}

/**
 * Turns a chunk's scores into its pattern, in place; the padding of a row becomes 0.
 *
 * @param cut whether entries may have no key left; their pattern is 0
 */
export function computeSoftmax(
  w: Work,
  scores: Tensor,
  heads: number,
  tables: AttentionTables,
  chunk: AttentionChunk,
  cut = false,
): void {
  const reduction = reductionFor(w.capabilities);
  const lower = tables.firsts !== undefined;
  w.dispatch(
    kernel('attention_softmax', [reduction.by, reduction.WG, lower && 'lower', cut && 'cut'], () => ({
      reduction,
      settings: { LOWER: lower, CUT: cut },
    })),
    { entries: tables.entries, S: scores.buffer, firsts: tables.firsts },
    { H: heads, pitch: tables.plan.pitch, firstEntry: chunk.firstEntry },
    [heads, chunk.entries, 1],
  );
}

function checkHeads(what: string, tensor: Tensor, heads: number, headSize: number): void {
  checkShape(
    tensor.columns === heads * headSize,
    () => `attention: ${what} ${shapeOf(tensor)} are not ${heads} heads of ${headSize} features`,
  );
}

/** pattern · V for one chunk, written into the rows of `z` [*, heads · d_head] that its entries name. */
export function computeValues(
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
  const { SG, SUBGROUPS, enable } = lanesOf(w);
  const vec4 = isAligned(v, headSize);
  const { entries, tiles, keys } = tables;
  const { tileRows, pitch } = tables.plan;
  // On a GPU one query is a few workgroups that wait for memory: more loads of each are in flight then.
  const many = !w.capabilities.software && tileRows === 1;
  const step = SUBGROUPS ? SG : many ? 16 : 4;
  const traits = [`${tileRows}x${SG}`, SUBGROUPS && 'subgroups', vec4 && 'vec4', many && `step ${step}`];
  const source = kernel('attention_values', traits, () => ({
    constants: { SG, SUBGROUPS, VEC4: vec4, MR: tileRows, STEP: step },
    enable,
  }));
  w.dispatch(
    source,
    { P: pattern.buffer, V: v.buffer, entries, tiles, keys, Z: z.buffer },
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
