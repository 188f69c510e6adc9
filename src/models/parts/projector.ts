// Features of images in the width of the language model: one layer, or two with an activation between them.

import type { Tensor } from '../../gpu/index.ts';
import { type Activation, activate, matmul } from '../../kernels/index.ts';
import { type Linear, passPoint, type Walk } from '../tower/index.ts';

export interface ProjectorWeights {
  readonly input: Linear;
  readonly output: Linear;
}

/**
 * Passes `{tower}.hook_pre`, `hook_post` and `hook_out`.
 *
 * @param features [rows, width]; used up
 * @returns [rows, output width]
 */
export async function project(
  walk: Pick<Walk, 'w' | 'probe' | 'runs'>,
  tower: string,
  features: Tensor,
  { input, output }: ProjectorWeights,
  activation: Activation,
): Promise<Tensor> {
  const { w, probe } = walk;
  const hidden = { x: features };
  if (probe.wants(`${tower}.hook_pre`)) {
    const pre = { x: matmul(w, features, input.weight, { bias: input.bias }) };
    await passPoint(walk, `${tower}.hook_pre`, pre, 'x');
    hidden.x = activate(w, pre.x, activation);
    w.release(pre.x);
  } else {
    hidden.x = matmul(w, features, input.weight, { bias: input.bias, activation });
  }
  w.release(features);
  await passPoint(walk, `${tower}.hook_post`, hidden, 'x');
  return projectLinear(walk, tower, hidden.x, output);
}

/**
 * Passes `{tower}.hook_out`.
 *
 * @param features [rows, width]; used up
 * @returns [rows, output width]
 */
export async function projectLinear(
  walk: Pick<Walk, 'w' | 'probe' | 'runs'>,
  tower: string,
  features: Tensor,
  { weight, bias }: Linear,
): Promise<Tensor> {
  const { w } = walk;
  const out = { x: matmul(w, features, weight, { bias }) };
  w.release(features);
  await passPoint(walk, `${tower}.hook_out`, out, 'x');
  return out.x;
}
