// The blocks of a tower in a checkpoint. One table of module names gives both their weights and, beside every hook point,
// the module whose output it equals.

import type { NormWeights } from '../../kernels/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import { type BlockWeights, hasCross, type MlpWeights, type TowerConfig } from '../tower/index.ts';
import { layerNorm, linear, rmsNorm } from '../weight-maps.ts';

/** Modules of an attention, by their paths inside the block. */
export interface AttentionNames {
  /** Queries, keys and values: one module for all three, or one for each. */
  readonly queryKeyValue: string | readonly [query: string, key: string, value: string];
  readonly output: string;
  readonly norm: string;
  /** Norms of each head's queries and keys. */
  readonly queryNorm?: string;
  readonly keyNorm?: string;
  /** The norm of the output in a sandwich. */
  readonly outputNorm?: string;
}

/** The modules of a block, by their paths inside it. */
export interface BlockNames {
  readonly attention: AttentionNames;
  readonly cross?: AttentionNames & { readonly queryKeyValue: readonly [string, string, string] };
  readonly mlp: MlpNames;
  /** The MLP that the queries have to themselves. */
  readonly queryMlp?: MlpNames;
}

export interface MlpNames {
  readonly input: string;
  /** The factor of a gated MLP. */
  readonly linear?: string;
  readonly output: string;
  readonly norm: string;
  readonly outputNorm?: string;
  /** The module of all of it, where there is one. */
  readonly whole?: string;
}

/** Where a block's modules are. */
export interface BlockPlace {
  readonly config: TowerConfig;
  /** Path of a block. */
  readonly path: (layer: number) => string;
  readonly names: BlockNames;
}

/** Hook points of all blocks of a tower. */
export function blockHooks({ config, path, names }: BlockPlace): HookInfo[] {
  return Array.from({ length: config.layers }, (_, layer) =>
    hooksOf(config, `${config.name}.blocks.${layer}`, path(layer), namesOf(config, layer, names)),
  ).flat();
}

/** The modules that a block has: not every one need attend to the other tower. */
function namesOf(config: TowerConfig, layer: number, { cross, ...names }: BlockNames): BlockNames {
  return cross && hasCross(config, layer) ? { ...names, cross } : names;
}

function hooksOf(
  { width, heads, keyHeads, headSize, mlpWidth, norm, rotary, queries }: TowerConfig,
  block: string,
  path: string,
  { attention, cross, mlp, queryMlp }: BlockNames,
): HookInfo[] {
  const hooks: HookInfo[] = [];
  const add = (hook: string, shape: HookInfo['shape'], module: string) =>
    hooks.push({ name: `${block}.${hook}`, shape, module });
  const at = (name: string) => `${path}.${name}`;
  const stream = ['position', width];
  /** Of queries and words, where each have their own. */
  const inMlp = (module: (names: MlpNames) => string) =>
    queryMlp ? `${module(queryMlp)}, then ${module(mlp)}` : module(mlp);
  /** A sum on the residual stream: input of the norm behind it (`norm`: after) or of the one before the next sublayer. */
  const sum = (hook: string, own: string, next: string | undefined, shape: HookInfo['shape'] = stream) => {
    const seen = norm === 'after' ? own : next && at(next);
    add(`hook_resid_${hook}`, shape, seen ? `input of ${seen}` : path);
    if (norm === 'after') add(`hook_normalized_resid_${hook}`, shape, own);
  };
  /** A sublayer's output: in a sandwich what is added to the stream is its norm. */
  const ends = (
    prefix: string,
    hook: string,
    output: string,
    outputNorm: string | undefined,
    shape: HookInfo['shape'] = stream,
  ) => {
    if (outputNorm) add(`${prefix}.hook_out`, shape, output);
    add(hook, shape, outputNorm ? at(outputNorm) : output);
  };
  const attend = (
    prefix: string,
    { queryKeyValue, output, queryNorm, keyNorm, outputNorm }: AttentionNames,
    key: string,
    position: string | number = 'position',
  ) => {
    const [query, keys, values] =
      typeof queryKeyValue === 'string'
        ? ['first', 'second', 'last'].map((which) => `${at(queryKeyValue)}, ${which} third`)
        : queryKeyValue.map(at);
    add(`${prefix}.hook_q`, [position, heads, headSize], query as string);
    add(`${prefix}.hook_k`, [key, keyHeads, headSize], keys as string);
    add(`${prefix}.hook_v`, [key, keyHeads, headSize], values as string);
    if (queryNorm) add(`${prefix}.hook_normalized_q`, [position, heads, headSize], at(queryNorm));
    if (keyNorm) add(`${prefix}.hook_normalized_k`, [key, keyHeads, headSize], at(keyNorm));
    if (rotary && prefix === 'attn') {
      add('attn.hook_rot_q', [position, heads, headSize], 'query after apply_rotary_pos_emb');
      add('attn.hook_rot_k', [position, keyHeads, headSize], 'key after apply_rotary_pos_emb');
    }
    add(`${prefix}.hook_attn_scores`, [heads, position, key], 'scaled scores before softmax, masked −inf');
    add(`${prefix}.hook_pattern`, [heads, position, key], 'softmax of the scores');
    add(`${prefix}.hook_z`, [position, heads, headSize], `input of ${at(output)}`);
    ends(prefix, `hook_${prefix}_out`, at(output), outputNorm, [position, width]);
  };
  add('hook_resid_pre', stream, `input of ${path}`);
  attend('attn', attention, 'key');
  sum('mid', at(attention.norm), (cross ?? mlp).norm);
  if (cross) {
    attend('cross_attn', cross, 'memory position', queries);
    sum('cross', at(cross.norm), mlp.norm, [queries ?? 'position', width]);
  }
  const inner = ['position', mlpWidth];
  const pre = inMlp(({ input }) => at(input));
  const post = inMlp(({ output }) => `input of ${at(output)}`);
  const whole = inMlp((names) => at(names.whole ?? names.output));
  const norms = inMlp((names) => at(names.norm));
  add('mlp.hook_pre', inner, pre);
  if (mlp.linear) add('mlp.hook_pre_linear', inner, at(mlp.linear));
  add('mlp.hook_post', inner, post);
  ends('mlp', 'hook_mlp_out', whole, mlp.outputNorm);
  sum('post', norms, undefined);
  return hooks;
}

/** Which linear layers have biases. */
export interface Biases {
  readonly queryKeyValue: boolean;
  /** The output projections of attention. */
  readonly output: boolean;
  readonly mlp: boolean;
}

export interface BlockOptions {
  readonly eps: number;
  /** RMSNorm in place of LayerNorm; `unit`: with weights that are what the scale is more than 1. */
  readonly rms?: boolean | 'unit';
  /** Default all. */
  readonly biases?: Biases;
  /** Width of what cross-attention reads; default the tower's. */
  readonly memoryWidth?: number;
}

/** Weights of all blocks, one block after the other: they are streamed, so that host memory stays small. */
export async function loadBlocks(
  loader: WeightLoader,
  { config, path, names }: BlockPlace,
  {
    eps,
    rms,
    biases = { queryKeyValue: true, output: true, mlp: true },
    memoryWidth = config.width,
  }: BlockOptions,
): Promise<BlockWeights[]> {
  const { layers, width, heads, keyHeads, headSize, mlpWidth } = config;
  const loaded: BlockWeights[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const { attention, cross, mlp, queryMlp } = namesOf(config, layer, names);
    const at = (name: string) => `${path(layer)}.${name}`;
    const norm = (name: string, size = width): Promise<NormWeights> =>
      rms
        ? rmsNorm(loader, at(name), size, eps, { unit: rms === 'unit' })
        : layerNorm(loader, at(name), size, eps);
    const make = (bias: boolean) => (modules: string | readonly string[], rows: number, columns: number) =>
      linear(loader, [modules].flat().map(at), rows, columns, { bias });
    const attending = make(biases.queryKeyValue);
    const out = make(biases.output);
    const inMlp = make(biases.mlp);
    const mlpOf = async (mlp: MlpNames): Promise<MlpWeights> => ({
      input: await inMlp(mlp.input, mlpWidth, width),
      ...(mlp.linear && { linear: await inMlp(mlp.linear, mlpWidth, width) }),
      output: await inMlp(mlp.output, width, mlpWidth),
      norm: await norm(mlp.norm),
      ...(mlp.outputNorm && { outputNorm: await norm(mlp.outputNorm) }),
    });
    loaded.push({
      attention: {
        queryKeyValue: await attending(attention.queryKeyValue, (heads + 2 * keyHeads) * headSize, width),
        output: await out(attention.output, width, heads * headSize),
        norm: await norm(attention.norm),
        ...(attention.queryNorm && { queryNorm: await norm(attention.queryNorm, headSize) }),
        ...(attention.keyNorm && { keyNorm: await norm(attention.keyNorm, headSize) }),
        ...(attention.outputNorm && { outputNorm: await norm(attention.outputNorm) }),
      },
      ...(cross && {
        cross: {
          query: await attending(cross.queryKeyValue[0], heads * headSize, width),
          keyValue: await attending(cross.queryKeyValue.slice(1), 2 * keyHeads * headSize, memoryWidth),
          output: await out(cross.output, width, heads * headSize),
          norm: await norm(cross.norm),
        },
      }),
      mlp: await mlpOf(mlp),
      ...(queryMlp && { queryMlp: await mlpOf(queryMlp) }),
    });
  }
  return loaded;
}
