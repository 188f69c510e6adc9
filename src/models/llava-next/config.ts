// config.json of LlavaNextForConditionalGeneration and LlavaOnevisionForConditionalGeneration. Defaults are those of transformers'
// LlavaNextConfig and LlavaOnevisionConfig, and of the configurations of the towers that they name.

import { NEXT_RESOLUTIONS, ONEVISION_RESOLUTIONS } from '../../inputs/index.ts';
import { JsonConfig } from '../json-config.ts';
import { LLAVA, type LlavaConfig, type LlavaKind, parseLlavaConfig } from '../llava/config.ts';
import { LLAMA, type LlamaDefaults, type LlamaSettings } from '../parts/llama-settings.ts';
import { patchSide, SIGLIP, SIGLIP_DEFAULTS } from '../parts/vit.ts';
import type { PackingSettings } from './packing.ts';

export interface LlavaNextConfig extends LlavaConfig {
  readonly packing: PackingSettings;
  /** What pictures are fitted into before they are cut. */
  readonly resolutions: readonly { readonly height: number; readonly width: number }[];
}

const MISTRAL: LlamaDefaults = {
  modelType: 'mistral',
  ...{ width: 4096, mlp: 14336, layers: 32, heads: 32, keyHeads: 8, vocabulary: 32000, maxPositions: 131072 },
  ...{ theta: 10000, eps: 1e-6 },
  rotaryTypes: ['default'],
  biases: { queryKeyValue: false, output: false, mlp: false },
  stopTokens: [2],
};

const QWEN2: LlamaDefaults = {
  modelType: 'qwen2',
  ...{ width: 4096, mlp: 22016, layers: 32, heads: 32, vocabulary: 151936, maxPositions: 32768 },
  ...{ theta: 10000, eps: 1e-6 },
  rotaryTypes: ['default'],
  biases: { queryKeyValue: true, output: false, mlp: false },
  stopTokens: [],
};

/** Without class tokens: the features are grids. */
const NEXT: LlavaKind = { ...LLAVA, decoders: [LLAMA, MISTRAL, QWEN2], strategies: ['default'] };

/** SigLIP-SO400M/14 at 384 pixels without its last block. */
const SO400M = {
  ...SIGLIP_DEFAULTS,
  ...{ width: 1152, mlp: 4304, layers: 26, heads: 16, image: 384, patch: 14 },
} as const;

const ONEVISION: LlavaKind = {
  vision: { modelType: 'siglip_vision_model', names: SIGLIP, defaults: SIGLIP_DEFAULTS, absent: SO400M },
  decoders: [QWEN2],
  featureLayer: -1,
  strategies: ['full'],
  imageToken: 151646,
  videoToken: 151647,
};

/** @throws NoticeError('config') naming the field */
export function parseLlavaNextConfig(json: unknown, generation: unknown = {}): LlavaNextConfig {
  const config = new JsonConfig(json, 'config.json');
  if (!config.boolean('use_image_newline_parameter', true))
    config.fail('use_image_newline_parameter false is not supported');
  return anyres(config, parseLlavaConfig(json, generation, NEXT), NEXT_RESOLUTIONS, undefined);
}

/** @throws NoticeError('config') naming the field */
export function parseLlavaOnevisionConfig(json: unknown, generation: unknown = {}): LlavaNextConfig {
  const config = new JsonConfig(json, 'config.json');
  const ratio = config.text('vision_aspect_ratio', 'anyres_max_9');
  const most = /^anyres_max_(\d+)$/.exec(ratio)?.[1];
  if (most === undefined)
    config.fail(`vision_aspect_ratio ${JSON.stringify(ratio)} is not "anyres_max_9" or the like`);
  return anyres(config, parseLlavaConfig(json, generation, ONEVISION), ONEVISION_RESOLUTIONS, Number(most));
}

function anyres(
  config: JsonConfig,
  llava: LlavaConfig,
  resolutions: readonly (readonly [height: number, width: number])[],
  mostTiles: number | undefined,
): LlavaNextConfig {
  const text = config.section('text_config');
  const language = {
    ...llava.language,
    tower: { ...llava.language.tower, ...windowsOf(text, llava.language) },
    tiedHead: llava.language.tiedHead || config.boolean('tie_word_embeddings', false),
  };
  return {
    ...llava,
    language,
    vision: { ...llava.vision, tiled: true },
    packing: { side: patchSide(llava.vision), mostTiles },
    resolutions: config
      .pairs('image_grid_pinpoints', resolutions)
      .map(([height, width]) => ({ height, width })),
  };
}

/** Mistral's layers see a window unless its files say null; Qwen2's all positions unless they say otherwise. */
function windowsOf(text: JsonConfig, { tower, maxPositions }: LlamaSettings) {
  const type = text.choice('model_type', ['llama', 'mistral', 'qwen2'], 'llama');
  if (type === 'qwen2' && text.boolean('use_sliding_window', false))
    text.fail('use_sliding_window is not supported');
  const window = type === 'mistral' ? text.cap('sliding_window', 4096) : undefined;
  return window !== undefined && window < maxPositions
    ? { windows: new Array<number>(tower.layers).fill(window) }
    : {};
}
