// Settings of an inpainting pipeline in diffusers' layout: UNet2DConditionModel, AutoencoderKL, CLIPTextModel. Defaults are
// those of diffusers' classes; what this library does not compute is refused by name.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig } from '../json-config.ts';
import type { TowerConfig } from '../tower/index.ts';

export interface UnetConfig {
  readonly inChannels: number;
  readonly outChannels: number;
  /** Channels by level, from the largest map to the smallest. */
  readonly channels: readonly number[];
  /** Heads by level. */
  readonly heads: readonly number[];
  /** Which levels have transformers, on the way down and (from the smallest map) on the way up. */
  readonly attendsDown: readonly boolean[];
  readonly attendsUp: readonly boolean[];
  readonly layers: number;
  readonly groups: number;
  readonly eps: number;
  /** Width of the text encoder's output. */
  readonly textWidth: number;
  /** Whether the time's sines come before its cosines. */
  readonly sinesFirst: boolean;
  readonly frequencyShift: number;
  /** Side of the latents it was trained with. */
  readonly sampleSize: number;
}

export interface VaeConfig {
  readonly channels: readonly number[];
  readonly layers: number;
  readonly groups: number;
  readonly latentChannels: number;
  readonly scaling: number;
  /** Pixels per latent, in height and in width. */
  readonly factor: number;
}

export interface TextEncoderConfig {
  readonly tower: TowerConfig;
  readonly vocabulary: number;
  readonly positions: number;
  readonly eps: number;
}

/** Settings that only other models have, with the values at which they change nothing. */
const UNET_ABSENT: Readonly<Record<string, readonly unknown[]>> = {
  addition_embed_type: [null], // SDXL
  class_embed_type: [null],
  encoder_hid_dim_type: [null],
  time_cond_proj_dim: [null],
  dual_cross_attention: [false],
  only_cross_attention: [false],
  resnet_time_scale_shift: ['default'],
  time_embedding_type: ['positional'],
  transformer_layers_per_block: [1],
  conv_in_kernel: [3],
  conv_out_kernel: [3],
  mid_block_scale_factor: [1],
  mid_block_type: ['UNetMidBlock2DCrossAttn'],
  downsample_padding: [1],
  center_input_sample: [false],
  act_fn: ['silu'],
};

/** @throws NoticeError('config') naming the field */
export function parseUnet(json: unknown): UnetConfig {
  const config = new JsonConfig(json, 'unet/config.json');
  config.choice('_class_name', ['UNet2DConditionModel'], 'UNet2DConditionModel');
  onlyUsual(config, json, UNET_ABSENT);
  const channels = config.sizes('block_out_channels', [320, 640, 1280, 1280]);
  const levels = channels.length;
  const usual = (first: string, rest: string) => [...Array<string>(levels - 1).fill(first), rest];
  const down = config.choices(
    'down_block_types',
    ['CrossAttnDownBlock2D', 'DownBlock2D'],
    levels,
    usual('CrossAttnDownBlock2D', 'DownBlock2D') as ('DownBlock2D' | 'CrossAttnDownBlock2D')[],
  );
  const up = config.choices(
    'up_block_types',
    ['CrossAttnUpBlock2D', 'UpBlock2D'],
    levels,
    usual('CrossAttnUpBlock2D', 'UpBlock2D').reverse() as ('UpBlock2D' | 'CrossAttnUpBlock2D')[],
  );
  // diffusers calls it attention_head_dim, and means the number of heads.
  const heads = perLevel(
    config,
    config.has('num_attention_heads') ? 'num_attention_heads' : 'attention_head_dim',
    levels,
    8,
  );
  heads.forEach((count, level) => {
    if ((channels[level] as number) % count !== 0)
      config.fail(`${channels[level]} channels are not divided by ${count} heads`);
  });
  const groups = config.size('norm_num_groups', 32);
  if (channels.some((count) => count % groups !== 0))
    config.fail(`"block_out_channels" ${channels.join(', ')} are not divided by ${groups} groups`);
  return {
    inChannels: config.size('in_channels', 4),
    outChannels: config.size('out_channels', 4),
    channels,
    heads,
    attendsDown: down.map((type) => type === 'CrossAttnDownBlock2D'),
    attendsUp: up.map((type) => type === 'CrossAttnUpBlock2D'),
    layers: config.size('layers_per_block', 2),
    groups,
    eps: config.eps('norm_eps', 1e-5),
    textWidth: config.size('cross_attention_dim', 1280),
    sinesFirst: !config.boolean('flip_sin_to_cos', true),
    frequencyShift: config.integer('freq_shift', 0),
    sampleSize: config.size('sample_size', 64),
  };
}

function perLevel(config: JsonConfig, name: string, levels: number, usual: number): readonly number[] {
  const values = config.tokens(name, [usual]);
  const all = values.length === 1 ? Array<number>(levels).fill(values[0] as number) : values;
  if (all.length !== levels || all.includes(0))
    config.fail(`"${name}" should be one number of heads or ${levels}, found ${values.join(', ')}`);
  return all;
}

/** @throws NoticeError('config') naming the field */
export function parseVae(json: unknown): VaeConfig {
  const config = new JsonConfig(json, 'vae/config.json');
  config.choice('_class_name', ['AutoencoderKL'], 'AutoencoderKL');
  onlyUsual(config, json, {
    act_fn: ['silu'],
    in_channels: [3],
    out_channels: [3],
    shift_factor: [null],
    latents_mean: [null],
    use_quant_conv: [true],
    use_post_quant_conv: [true],
    mid_block_add_attention: [true],
  });
  const channels = config.sizes('block_out_channels', [64]);
  const levels = channels.length;
  config.choices(
    'down_block_types',
    ['DownEncoderBlock2D'],
    levels,
    Array(levels).fill('DownEncoderBlock2D'),
  );
  config.choices('up_block_types', ['UpDecoderBlock2D'], levels, Array(levels).fill('UpDecoderBlock2D'));
  const groups = config.size('norm_num_groups', 32);
  if (channels.some((count) => count % groups !== 0))
    config.fail(`"block_out_channels" ${channels.join(', ')} are not divided by ${groups} groups`);
  return {
    channels,
    groups,
    layers: config.size('layers_per_block', 1),
    latentChannels: config.size('latent_channels', 4),
    scaling: config.positive('scaling_factor', 0.18215),
    factor: 2 ** (levels - 1),
  };
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

/** CLIPTextConfig. @throws NoticeError('config') naming the field */
export function parseTextEncoder(json: unknown): TextEncoderConfig {
  const config = new JsonConfig(json, 'text_encoder/config.json');
  config.choice('model_type', ['clip_text_model'], 'clip_text_model');
  const width = config.size('hidden_size', 512);
  const heads = config.size('num_attention_heads', 8);
  if (width % heads !== 0) config.fail(`"hidden_size" ${width} is not divided by ${heads} heads`);
  return {
    tower: {
      name: 'text_encoder',
      layers: config.layers('num_hidden_layers', 12),
      width,
      heads,
      keyHeads: heads,
      headSize: width / heads,
      mlpWidth: config.size('intermediate_size', 2048),
      activation: config.choice('hidden_act', ACTIVATIONS, 'quick_gelu'),
      norm: 'before',
      causal: true,
      rotary: undefined,
    },
    vocabulary: config.size('vocab_size', 49408),
    positions: config.size('max_position_embeddings', 77),
    eps: config.eps('layer_norm_eps', 1e-5),
  };
}

/** Refuses fields that ask for what is not computed here. */
function onlyUsual(
  config: JsonConfig,
  json: unknown,
  usual: Readonly<Record<string, readonly unknown[]>>,
): void {
  const values = json as Readonly<Record<string, unknown>>;
  for (const [name, allowed] of Object.entries(usual))
    if (values[name] !== undefined && values[name] !== null && !allowed.includes(values[name]))
      config.fail(
        `"${name}" is ${JSON.stringify(values[name])}; only ${allowed.map((value) => JSON.stringify(value)).join(', ')} is supported`,
      );
}
