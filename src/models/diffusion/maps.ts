// Modules on feature maps that the UNet and the autoencoder share, and how their hook points are passed.

import type { Tensor, Work } from '../../gpu/index.ts';
import {
  activate,
  add,
  addRows,
  convolve,
  type FeatureMaps,
  type GroupNormWeights,
  gatherRows,
  matmul,
  normalizeGroups,
  type Vector,
} from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import type { ModelRun } from '../model.ts';
import { type Linear, type Probe, rowActivation, Sequence } from '../tower/index.ts';
import { layerNorm, linear } from '../weight-maps.ts';

/** A walk through modules on maps: one image a run. */
export interface MapWalk {
  readonly w: Work;
  readonly runs: readonly ModelRun[];
  readonly probe: Probe;
}

/** The runs' pixels in a tower, one run behind the other; what they attend to is the text. */
export function pixelsOf(
  runs: readonly ModelRun[],
  tower: string,
  { height, width }: FeatureMaps,
): Sequence[] {
  const length = height * width;
  return runs.map((run, image) => {
    const known = run.towers.get(tower);
    if (known?.length === length) return known;
    const sequence = new Sequence(length, { memory: run.towers.get('text_encoder') });
    for (let p = 0; p < length; p++) sequence.rows[p] = image * length + p;
    run.towers.set(tower, sequence);
    return sequence;
  });
}

/** Passes a hook point on maps: `tower.hook`. */
export async function passMaps(
  { runs, probe }: MapWalk,
  tower: string,
  hook: string,
  maps: FeatureMaps,
): Promise<void> {
  const name = `${tower}.${hook}`;
  pixelsOf(runs, tower, maps);
  probe.passed?.(name, maps.x.rows);
  if (probe.wants(name)) await probe.visit(rowActivation(name, maps.x, 1));
}

/** A 3 × 3 convolution of a file. */
export async function loadConv(
  loader: WeightLoader,
  name: string,
  out: number,
  channels: number,
): Promise<Linear> {
  return {
    weight: await loader.matrix(`${name}.weight`, { rows: out, columns: 9 * channels }, { taps: 9 }),
    bias: await loader.vector(`${name}.bias`, out),
  };
}

export async function loadGroupNorm(
  loader: WeightLoader,
  name: string,
  channels: number,
  { groups, eps }: { readonly groups: number; readonly eps: number },
): Promise<GroupNormWeights> {
  const { scale, shift } = await layerNorm(loader, name, channels, eps);
  return { scale, shift: shift as Vector, eps, groups };
}

/** diffusers' ResnetBlock2D. */
export interface ResnetWeights {
  readonly norm1: GroupNormWeights;
  readonly conv1: Linear;
  /** From the time's embedding to what conv1's result is moved by. */
  readonly time: Linear | undefined;
  readonly norm2: GroupNormWeights;
  readonly conv2: Linear;
  /** A 1 × 1 convolution where the channels change. */
  readonly shortcut: Linear | undefined;
}

export interface ResnetSize {
  readonly from: number;
  readonly to: number;
  readonly groups: number;
  readonly eps: number;
  /** Width of the time's embedding, where there is one. */
  readonly time?: number;
}

export async function loadResnet(
  loader: WeightLoader,
  path: string,
  size: ResnetSize,
): Promise<ResnetWeights> {
  const { from, to, time } = size;
  return {
    norm1: await loadGroupNorm(loader, `${path}.norm1`, from, size),
    conv1: await loadConv(loader, `${path}.conv1`, to, from),
    time: time === undefined ? undefined : await linear(loader, `${path}.time_emb_proj`, to, time),
    norm2: await loadGroupNorm(loader, `${path}.norm2`, to, size),
    conv2: await loadConv(loader, `${path}.conv2`, to, to),
    shortcut: from === to ? undefined : await linear(loader, `${path}.conv_shortcut`, to, from),
  };
}

/**
 * x + conv2(silu(norm2(conv1(silu(norm1(x))) + time))), with x through a 1 × 1 convolution where the channels change. Passes
 * `hook_norm1`, `hook_conv1`, `hook_hidden` (conv1 + time), `hook_norm2`, `hook_shortcut`, `hook_conv2` and `hook_resnet`.
 *
 * @param tower of its hook points; undefined where it passes none
 * @param time silu of the time's embedding, [1, width]
 * @returns new maps
 */
export async function resnet(
  walk: MapWalk,
  tower: string | undefined,
  maps: FeatureMaps,
  { norm1, conv1, time: timeWeights, norm2, conv2, shortcut }: ResnetWeights,
  time?: Tensor,
): Promise<FeatureMaps> {
  const { w } = walk;
  const pass = async (hook: string, passed: FeatureMaps) => {
    if (tower !== undefined) await passMaps(walk, tower, hook, passed);
  };
  const wants = (hook: string) => tower !== undefined && walk.probe.wants(`${tower}.${hook}`);
  const first = await normSilu(walk, tower, 'hook_norm1', maps, norm1);
  const moved = timeWeights && time ? timeBias(w, timeWeights, time, conv1.bias as Vector) : undefined;
  // The time is one more bias, unless somebody looks between.
  const apart = moved !== undefined && wants('hook_conv1');
  const hidden = convolve(w, { ...maps, x: first }, conv1.weight, {
    bias: apart ? conv1.bias : (moved?.bias ?? conv1.bias),
  });
  await pass('hook_conv1', hidden);
  if (apart)
    addRows(
      w,
      hidden.x,
      moved.time,
      Uint32Array.from({ length: 2 * hidden.x.rows }, (_, i) => (i % 2 === 0 ? i / 2 : 0)),
    );
  if (moved) w.release(moved.time, moved.bias.buffer);
  w.release(first);
  await pass('hook_hidden', hidden);
  const second = await normSilu(walk, tower, 'hook_norm2', hidden, norm2);
  w.release(hidden.x);
  const straight = shortcut ? matmul(w, maps.x, shortcut.weight, { bias: shortcut.bias }) : maps.x;
  if (shortcut) await pass('hook_shortcut', { ...maps, x: straight });
  const input = { ...maps, x: second };
  let out: FeatureMaps;
  if (wants('hook_conv2')) {
    const added = convolve(w, input, conv2.weight, { bias: conv2.bias });
    await pass('hook_conv2', added);
    out = { ...added, x: add(w, added.x, straight) };
    w.release(added.x);
  } else out = convolve(w, input, conv2.weight, { bias: conv2.bias, residual: straight });
  w.release(second);
  if (shortcut) w.release(straight);
  await pass('hook_resnet', out);
  return out;
}

/** What conv1's result is moved by, the same for all pixels: the time's part, and with conv1's own bias. */
function timeBias(
  w: Work,
  { weight, bias }: Linear,
  time: Tensor,
  own: Vector,
): { time: Tensor; bias: Vector } {
  const part = matmul(w, time, weight, { bias });
  const row: Tensor = { buffer: own.buffer, rows: 1, columns: own.length, stride: own.length, offset: 0 };
  const sum = add(w, part, row);
  return { time: part, bias: { name: `${own.name} + time`, length: sum.columns, buffer: sum.buffer } };
}

/** silu(group norm), in one kernel unless somebody looks between. */
async function normSilu(
  walk: MapWalk,
  tower: string | undefined,
  hook: string,
  maps: FeatureMaps,
  norm: GroupNormWeights,
): Promise<Tensor> {
  const { w, probe } = walk;
  if (tower === undefined || !probe.wants(`${tower}.${hook}`)) return normalizeGroups(w, maps, norm, 'silu');
  const x = normalizeGroups(w, maps, norm);
  await passMaps(walk, tower, hook, { ...maps, x });
  const out = activate(w, x, 'silu');
  w.release(x);
  return out;
}

/** Maps with the channels of both, torch.cat along them. */
export function joinChannels(w: Work, maps: FeatureMaps, other: Tensor): FeatureMaps {
  const { rows, columns } = maps.x;
  const all = Uint32Array.from({ length: rows }, (_, row) => row);
  const x = w.empty(rows, columns + other.columns, 'joined maps');
  gatherRows(w, maps.x, all, { ...x, columns });
  gatherRows(w, other, all, { ...x, columns: other.columns, offset: columns });
  return { ...maps, x };
}
