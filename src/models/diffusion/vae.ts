// Pictures to latents and back, diffusers' AutoencoderKL.

import type { Tensor, Work } from '../../gpu/index.ts';
import {
  activate,
  attentionScores,
  attentionSoftmax,
  attentionValues,
  convolve,
  type FeatureMaps,
  type GroupNormWeights,
  matmul,
  normalizeGroups,
  planAttention,
  releasePlan,
  uploadPlan,
} from '../../kernels/index.ts';
import type { Checkpoint, WeightLoader } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import type { Linear } from '../tower/index.ts';
import { linear } from '../weight-maps.ts';
import type { VaeConfig } from './config.ts';
import {
  loadConv,
  loadGroupNorm,
  loadResnet,
  type MapWalk,
  passMaps,
  type ResnetWeights,
  resnet,
} from './maps.ts';

const EPS = 1e-6;
const SCRATCH_BYTES = 96 * 1024 * 1024;

interface AttentionWeights {
  readonly norm: GroupNormWeights;
  readonly queryKeyValue: Linear;
  readonly output: Linear;
}

interface Level {
  readonly name: string;
  readonly resnets: readonly ResnetWeights[];
  /** The convolution to the next level's size; none at the last. */
  readonly resize: Linear | undefined;
}

/** The encoder or the decoder. */
interface Half {
  readonly input: Linear;
  readonly levels: readonly Level[];
  readonly middle: {
    readonly resnets: readonly [ResnetWeights, ResnetWeights];
    readonly attention: AttentionWeights;
  };
  readonly norm: GroupNormWeights;
  readonly output: Linear;
}

/** Channels by level in the order of computation, and resnets of a level. */
function levelsOf({ channels, layers }: VaeConfig, half: 'encoder' | 'decoder') {
  const order = half === 'encoder' ? channels : [...channels].reverse();
  const count = half === 'encoder' ? layers : layers + 1;
  return order.map((to, level) => ({
    to,
    from: order[Math.max(0, level - 1)] as number,
    count,
    path: `${half}.${half === 'encoder' ? 'down' : 'up'}_blocks.${level}`,
    resize: level < order.length - 1 ? (half === 'encoder' ? 'downsamplers.0' : 'upsamplers.0') : undefined,
    name: `vae_${half}_${level}`,
  }));
}

/** Hook points of a half in the order of computation, beside the paths of diffusers' modules. */
export function vaeHooks(config: VaeConfig, half: 'encoder' | 'decoder'): HookInfo[] {
  const deepest = config.channels.at(-1) as number;
  const [shallow] = config.channels as [number];
  const tower = `vae_${half}`;
  const point = (name: string, columns: number, module: string): HookInfo => ({
    name,
    shape: ['position', columns],
    module,
  });
  const levels = levelsOf(config, half).flatMap(({ name, path, to, count, resize }) => [
    ...Array.from({ length: count }, (_, i) => point(`${name}.hook_resnet_${i}`, to, `${path}.resnets.${i}`)),
    ...(resize ? [point(`${name}_resize.hook_out`, to, `${path}.${resize}`)] : []),
  ]);
  const middle = [
    point(`${tower}_mid.hook_resnet_0`, deepest, `${half}.mid_block.resnets.0`),
    point(`${tower}_mid.hook_attention`, deepest, `${half}.mid_block.attentions.0`),
    point(`${tower}_mid.hook_resnet_1`, deepest, `${half}.mid_block.resnets.1`),
  ];
  const { latentChannels: latents } = config;
  return half === 'encoder'
    ? [
        point(`${tower}_in.hook_out`, shallow, 'encoder.conv_in'),
        ...levels,
        ...middle,
        point(`${tower}_out.hook_norm`, deepest, 'encoder.conv_norm_out'),
        point(`${tower}_out.hook_out`, 2 * latents, 'encoder.conv_out'),
        point(`${tower}_out.hook_moments`, 2 * latents, 'quant_conv'),
      ]
    : [
        point(`${tower}_in.hook_latents`, latents, 'post_quant_conv'),
        point(`${tower}_in.hook_out`, deepest, 'decoder.conv_in'),
        ...middle,
        ...levels,
        point(`${tower}_out.hook_norm`, shallow, 'decoder.conv_norm_out'),
        point(`${tower}_out.hook_out`, 3, 'decoder.conv_out'),
      ];
}

async function loadHalf(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  config: VaeConfig,
  half: 'encoder' | 'decoder',
): Promise<Half> {
  const { groups, latentChannels: latents } = config;
  const deepest = config.channels.at(-1) as number;
  const [shallow] = config.channels as [number];
  const norms = { groups, eps: EPS };
  const encodes = half === 'encoder';
  const middle = `${half}.mid_block`;
  const same = { from: deepest, to: deepest, ...norms };
  const input = await loadConv(loader, `${half}.conv_in`, encodes ? shallow : deepest, encodes ? 3 : latents);
  const levels: Level[] = [];
  for (const { name, path, from, to, count, resize } of levelsOf(config, half)) {
    const resnets: ResnetWeights[] = [];
    for (let i = 0; i < count; i++)
      resnets.push(
        await loadResnet(loader, `${path}.resnets.${i}`, { from: i > 0 ? to : from, to, ...norms }),
      );
    levels.push({
      name,
      resnets,
      resize: resize === undefined ? undefined : await loadConv(loader, `${path}.${resize}.conv`, to, to),
    });
  }
  return {
    input,
    levels,
    middle: {
      resnets: [
        await loadResnet(loader, `${middle}.resnets.0`, same),
        await loadResnet(loader, `${middle}.resnets.1`, same),
      ],
      attention: await loadAttention(loader, checkpoint, `${middle}.attentions.0`, deepest, norms),
    },
    norm: await loadGroupNorm(loader, `${half}.conv_norm_out`, encodes ? deepest : shallow, norms),
    output: await loadConv(
      loader,
      `${half}.conv_out`,
      encodes ? 2 * latents : 3,
      encodes ? deepest : shallow,
    ),
  };
}

/** Files of diffusers before 0.15 name the layers query, key, value and proj_attn. */
async function loadAttention(
  loader: WeightLoader,
  checkpoint: Checkpoint,
  path: string,
  channels: number,
  norms: { readonly groups: number; readonly eps: number },
): Promise<AttentionWeights> {
  const old = checkpoint.has(`${path}.query.weight`);
  const names = old ? ['query', 'key', 'value'] : ['to_q', 'to_k', 'to_v'];
  return {
    norm: await loadGroupNorm(loader, `${path}.group_norm`, channels, norms),
    queryKeyValue: await linear(
      loader,
      names.map((name) => `${path}.${name}`),
      3 * channels,
      channels,
    ),
    output: await linear(loader, `${path}.${old ? 'proj_attn' : 'to_out.0'}`, channels, channels),
  };
}

export class Vae {
  readonly config: VaeConfig;
  readonly #encoder: Half;
  readonly #decoder: Half;
  readonly #quant: Linear;
  readonly #postQuant: Linear;

  private constructor(config: VaeConfig, halves: readonly [Half, Half], convs: readonly [Linear, Linear]) {
    this.config = config;
    [this.#encoder, this.#decoder] = halves;
    [this.#quant, this.#postQuant] = convs;
  }

  /** @throws WeightsError */
  static async load(loader: WeightLoader, checkpoint: Checkpoint, config: VaeConfig): Promise<Vae> {
    const { latentChannels: latents } = config;
    return new Vae(
      config,
      [
        await loadHalf(loader, checkpoint, config, 'encoder'),
        await loadHalf(loader, checkpoint, config, 'decoder'),
      ],
      [
        await linear(loader, 'quant_conv', 2 * latents, 2 * latents),
        await linear(loader, 'post_quant_conv', latents, latents),
      ],
    );
  }

  /**
   * @param picture [images · height · width, 3] in −1 … 1
   * @returns mean and logarithm of the variance of the latents' posterior, as many channels each
   */
  async encode(walk: MapWalk, picture: FeatureMaps): Promise<FeatureMaps> {
    const { w } = walk;
    const { input, levels, middle, norm, output } = this.#encoder;
    let maps = convolve(w, picture, input.weight, { bias: input.bias });
    await passMaps(walk, 'vae_encoder_in', 'hook_out', maps);
    // Zeros right and below only.
    for (const level of levels)
      maps = await this.#level(walk, level, maps, (small) => ({
        stride: 2,
        padding: 0,
        size: [Math.floor(small.height / 2), Math.floor(small.width / 2)],
      }));
    maps = await this.#middle(walk, 'vae_encoder_mid', maps, middle);
    maps = await this.#end(walk, 'vae_encoder_out', maps, { norm, output });
    const x = matmul(w, maps.x, this.#quant.weight, { bias: this.#quant.bias });
    w.release(maps.x);
    await passMaps(walk, 'vae_encoder_out', 'hook_moments', { ...maps, x });
    return { ...maps, x };
  }

  /**
   * @param latents [images · height · width, latent channels], divided by the scaling
   * @returns pictures [.., 3] in about −1 … 1
   */
  async decode(walk: MapWalk, latents: FeatureMaps): Promise<FeatureMaps> {
    const { w } = walk;
    const { input, levels, middle, norm, output } = this.#decoder;
    const x = matmul(w, latents.x, this.#postQuant.weight, { bias: this.#postQuant.bias });
    await passMaps(walk, 'vae_decoder_in', 'hook_latents', { ...latents, x });
    let maps = convolve(w, { ...latents, x }, input.weight, { bias: input.bias });
    w.release(x);
    await passMaps(walk, 'vae_decoder_in', 'hook_out', maps);
    maps = await this.#middle(walk, 'vae_decoder_mid', maps, middle);
    for (const level of levels)
      maps = await this.#level(walk, level, maps, (small) => ({
        enlarged: [2 * small.height, 2 * small.width],
      }));
    return this.#end(walk, 'vae_decoder_out', maps, { norm, output });
  }

  /** A level's resnets, then its change of size. Its input is released. */
  async #level(
    walk: MapWalk,
    { name, resnets, resize }: Level,
    input: FeatureMaps,
    options: (maps: FeatureMaps) => Parameters<typeof convolve>[3],
  ): Promise<FeatureMaps> {
    const { w } = walk;
    let maps = input;
    for (const [i, weights] of resnets.entries()) maps = await this.#resnet(walk, name, i, maps, weights);
    if (!resize) return maps;
    const out = convolve(w, maps, resize.weight, { bias: resize.bias, ...options(maps) });
    w.release(maps.x);
    await passMaps(walk, `${name}_resize`, 'hook_out', out);
    return out;
  }

  async #resnet(
    walk: MapWalk,
    name: string,
    i: number,
    maps: FeatureMaps,
    weights: ResnetWeights,
  ): Promise<FeatureMaps> {
    const out = await resnet(walk, undefined, maps, weights);
    walk.w.release(maps.x);
    await passMaps(walk, name, `hook_resnet_${i}`, out);
    return out;
  }

  async #middle(
    walk: MapWalk,
    name: string,
    input: FeatureMaps,
    { resnets, attention }: Half['middle'],
  ): Promise<FeatureMaps> {
    let maps = await this.#resnet(walk, name, 0, input, resnets[0]);
    const x = attendPixels(walk.w, maps, attention);
    walk.w.release(maps.x);
    maps = { ...maps, x };
    await passMaps(walk, name, 'hook_attention', maps);
    return this.#resnet(walk, name, 1, maps, resnets[1]);
  }

  async #end(
    walk: MapWalk,
    name: string,
    maps: FeatureMaps,
    { norm, output }: Pick<Half, 'norm' | 'output'>,
  ): Promise<FeatureMaps> {
    const { w } = walk;
    const normal = normalizeGroups(w, maps, norm);
    w.release(maps.x);
    await passMaps(walk, name, 'hook_norm', { ...maps, x: normal });
    const x = activate(w, normal, 'silu');
    w.release(normal);
    const out = convolve(w, { ...maps, x }, output.weight, { bias: output.bias });
    w.release(x);
    await passMaps(walk, name, 'hook_out', out);
    return out;
  }
}

/** x + W_O · attention(norm(x)) with one head of all channels, every image by itself. */
function attendPixels(w: Work, maps: FeatureMaps, { norm, queryKeyValue, output }: AttentionWeights): Tensor {
  const { x, images, height, width } = maps;
  const channels = x.columns;
  const pixels = height * width;
  const normal = normalizeGroups(w, maps, norm);
  const projected = matmul(w, normal, queryKeyValue.weight, { bias: queryKeyValue.bias });
  w.release(normal);
  const part = (i: number): Tensor => ({ ...projected, columns: channels, offset: i * channels });
  const groups = Array.from({ length: images }, (_, image) => {
    const keys = Uint32Array.from({ length: pixels }, (_, p) => image * pixels + p);
    return { keys, queries: Array.from(keys, (row) => ({ query: row, out: row, keys: pixels })) };
  });
  const tables = uploadPlan(w, planAttention(groups, 1, SCRATCH_BYTES));
  const shape = { heads: 1, keyHeads: 1, headSize: channels };
  const z = w.empty(x.rows, channels, 'attention of pixels');
  for (const chunk of tables.plan.chunks) {
    const scores = attentionScores(w, part(0), part(1), shape, tables, chunk);
    attentionSoftmax(w, scores, 1, tables, chunk);
    attentionValues(w, scores, part(2), z, shape, tables, chunk);
    w.release(scores);
  }
  releasePlan(w, tables);
  const out = matmul(w, z, output.weight, { bias: output.bias, residual: x });
  w.release(projected, z);
  return out;
}
