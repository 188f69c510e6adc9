// config.json of Qwen2-VL, Qwen2.5-VL and Qwen3-VL. Defaults are those of transformers' classes. The hub's files of the first
// two have the text's settings at the top, later ones in text_config.

import type { Activation } from '../../kernels/index.ts';
import { JsonConfig, stopTokensOf } from '../json-config.ts';
import { type LlamaDefaults, type LlamaSettings, readLlama } from '../parts/llama-settings.ts';
import type { Rotary, Sections, TowerConfig } from '../tower/index.ts';

/** What the three have in their vision towers. */
export interface QwenVision {
  readonly tower: TowerConfig;
  readonly eps: number;
  /** Pixels of a patch's side. */
  readonly patchSize: number;
  /** Values of a patch: channels, frames, rows and columns of its pixels. */
  readonly patchValues: number;
  /** Patches of the side of a block that becomes one feature. */
  readonly merge: number;
  /** Qwen2.5: features of a window's side. */
  readonly window: number | undefined;
  /** Blocks that see the whole image in spite of windows. */
  readonly fullBlocks: readonly number[];
  /** Qwen3: rows and columns of the grid of learned positions. */
  readonly positions: number | undefined;
  /** Qwen3: blocks whose output goes to the language model, too: that of the n-th behind its n-th block. */
  readonly deepstack: readonly number[];
}

export type QwenKind = 'qwen2_vl' | 'qwen2_5_vl' | 'qwen3_vl';

export interface QwenConfig {
  readonly kind: QwenKind;
  readonly vision: QwenVision;
  readonly language: LlamaSettings;
  /** The token that stands for one feature. */
  readonly imageToken: number;
  /** The token of videos, which are not read. */
  readonly videoToken: number;
  /** Tokens that end an answer. */
  readonly stopTokens: readonly number[];
}

const ACTIVATIONS: readonly Activation[] = ['gelu', 'gelu_pytorch_tanh', 'quick_gelu', 'silu'];

/** Qwen2VLVisionConfig, Qwen2_5_VLVisionConfig, Qwen3VLVisionConfig. */
const VISION = {
  qwen2_vl: { width: 1280, depth: 32, mlp: 0, patch: 14, activation: 'quick_gelu' },
  qwen2_5_vl: { width: 3584, depth: 32, mlp: 3420, patch: 14, activation: 'silu' },
  qwen3_vl: { width: 1152, depth: 27, mlp: 4304, patch: 16, activation: 'gelu_pytorch_tanh' },
} as const;

/** Qwen2VLTextConfig and Qwen2_5_VLTextConfig. */
const QWEN2: Omit<LlamaDefaults, 'modelType'> = {
  ...{ width: 8192, mlp: 29568, layers: 80, heads: 64, keyHeads: 8, vocabulary: 152064 },
  ...{ maxPositions: 32768, theta: 1e6, eps: 1e-5, rotaryTypes: ['default', 'mrope'] },
  biases: { queryKeyValue: true, output: false, mlp: false },
  stopTokens: [151645],
};

const TEXT: Readonly<Record<QwenKind, LlamaDefaults>> = {
  qwen2_vl: { ...QWEN2, modelType: 'qwen2_vl_text' },
  qwen2_5_vl: { ...QWEN2, modelType: 'qwen2_5_vl_text' },
  qwen3_vl: {
    modelType: 'qwen3_vl_text',
    ...{ width: 4096, mlp: 22016, layers: 32, heads: 32, keyHeads: 32, headSize: 128, vocabulary: 151936 },
    ...{ maxPositions: 128000, theta: 5e5, eps: 1e-6, rotaryTypes: ['default', 'mrope'] },
    headNorms: true,
    stopTokens: [151645],
  },
};

/**
 * @param generation generation_config.json, where there is one: its stop tokens go before config.json's
 * @throws NoticeError('config') naming the field
 */
export function parseQwenConfig(kind: QwenKind, json: unknown, generation: unknown = {}): QwenConfig {
  const config = new JsonConfig(json, 'config.json');
  const nested = config.has('text_config');
  // At the top, model_type is that of the whole.
  const text = nested ? config.section('text_config') : config.without('model_type');
  const read = readLlama(text, TEXT[kind]);
  if (text.boolean('use_sliding_window', false))
    text.fail('"use_sliding_window" is true, which is not supported');
  const language: LlamaSettings = {
    ...read,
    tower: {
      ...read.tower,
      rotary: { ...(read.tower.rotary as Rotary), by: sectionsOf(text, kind, read.tower) },
    },
    tiedHead: read.tiedHead || config.boolean('tie_word_embeddings', false),
  };
  const vision = readVision(kind, config.section('vision_config'), language);
  return {
    kind,
    vision,
    language,
    imageToken: config.token('image_token_id', 151655),
    videoToken: config.token('video_token_id', 151656),
    stopTokens: stopTokensOf(nested ? config : text, generation, read.stopTokens),
  };
}

/** mRoPE: which pairs of features turn by time, row and column. */
function sectionsOf(text: JsonConfig, kind: QwenKind, { headSize }: TowerConfig): Sections {
  const scaling = ['rope_scaling', 'rope_parameters'].find((name) => text.has(name));
  const section: JsonConfig = text.section(scaling ?? 'rope_scaling');
  const given = section.sizes('mrope_section', kind === 'qwen3_vl' ? [24, 20, 20] : [16, 24, 24]);
  const [time, row, column, ...others] = given;
  const pairs = given.reduce((sum, size) => sum + size, 0);
  if (
    time === undefined ||
    row === undefined ||
    column === undefined ||
    others.length > 0 ||
    pairs !== headSize / 2
  )
    section.fail(
      `"mrope_section" should be three sizes that add up to ${headSize / 2}, found ${given.join(', ')}`,
    );
  // Qwen3's class interleaves whatever the file says, the older ones never do.
  const interleaved = kind === 'qwen3_vl';
  if (section.boolean('mrope_interleaved', interleaved) !== interleaved)
    section.fail(`"mrope_interleaved" should be ${interleaved} for ${kind}`);
  return { sections: [time, row, column], interleaved };
}

function readVision(kind: QwenKind, section: JsonConfig, language: LlamaSettings): QwenVision {
  section.choice('model_type', [kind, `${kind}_vision`], kind);
  const defaults = VISION[kind];
  const width = section.size(kind === 'qwen2_vl' ? 'embed_dim' : 'hidden_size', defaults.width);
  const heads = section.size('num_heads', 16);
  // Rows turn one half of a head's pairs of features, columns the other.
  if (width % (4 * heads) !== 0)
    section.fail(`width ${width} is not divided among ${heads} heads into multiples of 4`);
  const mlpWidth =
    kind === 'qwen2_vl'
      ? width * section.size('mlp_ratio', 4)
      : section.size('intermediate_size', defaults.mlp);
  const patchSize = section.size('patch_size', defaults.patch);
  const merge = section.size('spatial_merge_size', 2);
  const layers = section.layers('depth', defaults.depth);
  const featureWidth = section.size(kind === 'qwen2_vl' ? 'hidden_size' : 'out_hidden_size', 3584);
  if (featureWidth !== language.tower.width)
    section.fail(
      `features have a width of ${featureWidth}, the language model reads ${language.tower.width}`,
    );
  const frames = section.size('temporal_patch_size', 2);
  const channels = section.size('in_channels', section.size('in_chans', 3));
  const vision: QwenVision = {
    tower: {
      name: 'vision',
      layers,
      ...{ width, heads, keyHeads: heads, headSize: width / heads, mlpWidth },
      activation: section.choice('hidden_act', ACTIVATIONS, defaults.activation),
      norm: 'before',
      causal: false,
      rotary: { theta: 10000, by: 'grid' },
    },
    eps: 1e-6,
    patchSize,
    patchValues: channels * frames * patchSize ** 2,
    merge,
    window: kind === 'qwen2_5_vl' ? windowOf(section, patchSize * merge) : undefined,
    fullBlocks: kind === 'qwen2_5_vl' ? section.indices('fullatt_block_indexes', [7, 15, 23, 31]) : [],
    positions: kind === 'qwen3_vl' ? gridOf(section) : undefined,
    deepstack: kind === 'qwen3_vl' ? section.indices('deepstack_visual_indexes', [8, 16, 24]) : [],
  };
  const beyond = vision.deepstack.find(
    (block, i) => block >= layers || block <= (vision.deepstack[i - 1] ?? -1),
  );
  if (beyond !== undefined || vision.deepstack.length >= language.tower.layers)
    section.fail(
      `"deepstack_visual_indexes" ${vision.deepstack.join(', ')} should be blocks of ${layers} in ascending order, ` +
        `fewer than the language model has (${language.tower.layers})`,
    );
  return vision;
}

/** Features of a window's side. */
function windowOf(section: JsonConfig, feature: number): number {
  const pixels = section.size('window_size', 112);
  if (pixels < feature) section.fail(`"window_size" ${pixels} is smaller than a feature's ${feature} pixels`);
  return Math.floor(pixels / feature);
}

function gridOf(section: JsonConfig): number {
  const count = section.size('num_position_embeddings', 2304);
  const side = Math.sqrt(count);
  if (!Number.isInteger(side)) section.fail(`"num_position_embeddings" ${count} is not a square`);
  return side;
}
