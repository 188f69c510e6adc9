// SmolVLM-256M and -500M, Qwen2.5-VL-3B and PaliGemma-3B as they are on the hub: config.json and preprocessor_config.json with
// what decides sizes, the tensors of the checkpoint, and a prompt. All are in bf16, as most people have them (PaliGemma's
// main branch is f32, its branch `bfloat16` this).
import { linear, llama, qwenVision, siglip } from './family-tensors.mjs';

/**
 * @typedef {object} FamilyModel
 * @property {number} [layers] of each tower that are measured; default all
 * @property {(layers: number) => object} config config.json with at most so many layers in each tower
 * @property {object} preprocessor preprocessor_config.json
 * @property {(config: object) => Iterable<[string, number[]]>} tensors names and shapes
 * @property {(model: object, image: object, question: readonly number[]) => number[]} prompt token ids
 * @property {(layers: number) => number[]} [patched] layers whose heads are swept; default all
 */

const SMOLVLM_PREPROCESSOR = {
  image_processor_type: 'Idefics3ImageProcessor',
  do_image_splitting: true,
  max_image_size: { longest_edge: 512 },
  resample: 1,
  size: { longest_edge: 2048 },
};

function smolVlm({ width, mlp, depth, heads, keyHeads }) {
  const config = (layers) => ({
    architectures: ['Idefics3ForConditionalGeneration'],
    model_type: 'idefics3',
    image_token_id: 49190,
    scale_factor: 4,
    text_config: {
      model_type: 'llama',
      ...{ head_dim: 64, hidden_size: width, intermediate_size: mlp },
      ...{
        num_hidden_layers: Math.min(layers, depth),
        num_attention_heads: heads,
        num_key_value_heads: keyHeads,
      },
      ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-5, rope_theta: 100000, vocab_size: 49280 },
    },
    tie_word_embeddings: false,
    vision_config: {
      model_type: 'idefics3_vision',
      ...{ hidden_size: 768, num_attention_heads: 12, num_hidden_layers: Math.min(layers, 12) },
      ...{
        image_size: 512,
        max_image_size: { longest_edge: 512 },
        patch_size: 16,
        size: { longest_edge: 2048 },
      },
    },
  });
  return {
    config,
    preprocessor: SMOLVLM_PREPROCESSOR,
    *tensors({ text_config: text, vision_config: vision, scale_factor: scale }) {
      // What the file leaves to the class of transformers.
      const { hidden_size: depth, intermediate_size: mlp = 3072 } = vision;
      yield* siglip('model.vision_model', { ...vision, intermediate_size: mlp });
      yield ['model.connector.modality_projection.proj.weight', [text.hidden_size, depth * scale ** 2]];
      yield* llama('model.text_model', text);
      yield ['lm_head.weight', [text.vocab_size, text.hidden_size]];
    },
    // <|im_start|>User:…, the picture's tiles with marks of rows and columns, the question, <end_of_utterance>\nAssistant:
    prompt(model, image, question) {
      const features = model.featureCount({ ...image, tiles: undefined });
      const [mark, overview, newline] = [49189, 49152, 198];
      const tile = (place) => [mark, place, ...new Array(features).fill(model.imageToken)];
      const { rows = 0, columns = 0 } = image.tiles ?? {};
      const lines = Array.from({ length: rows }, (_, row) => [
        ...Array.from({ length: columns }, (_, column) => tile(49153 + 6 * row + column)).flat(),
        newline,
      ]);
      const picture = [...lines.flat(), ...(rows > 0 ? [newline] : []), ...tile(overview), mark];
      const text = [1, 11126, 42, ...picture, ...question, 49279, newline, 9519, 9531, 42];
      return [...model.expand(text, [image]).ids];
    },
  };
}

const qwen = {
  layers: 4,
  config: (layers) => ({
    architectures: ['Qwen2_5_VLForConditionalGeneration'],
    model_type: 'qwen2_5_vl',
    ...{ bos_token_id: 151643, eos_token_id: 151645, image_token_id: 151655, video_token_id: 151656 },
    ...{ vision_start_token_id: 151652, vision_end_token_id: 151653, vision_token_id: 151654 },
    ...{ hidden_act: 'silu', hidden_size: 2048, intermediate_size: 11008, max_position_embeddings: 128000 },
    ...{ num_attention_heads: 16, num_hidden_layers: Math.min(layers, 36), num_key_value_heads: 2 },
    ...{ rms_norm_eps: 1e-6, rope_theta: 1e6, use_sliding_window: false, tie_word_embeddings: true },
    vision_config: {
      ...{ depth: Math.min(layers, 32), hidden_act: 'silu', hidden_size: 1280, intermediate_size: 3420 },
      ...{ num_heads: 16, in_chans: 3, out_hidden_size: 2048, patch_size: 14, spatial_merge_size: 2 },
      ...{ spatial_patch_size: 14, window_size: 112, tokens_per_second: 2, temporal_patch_size: 2 },
      // Of fewer layers the last sees the whole picture: one of both kinds is there at least.
      fullatt_block_indexes: layers < 8 ? [layers - 1] : [7, 15, 23, 31],
    },
    rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
    vocab_size: 151936,
  }),
  preprocessor: {
    image_processor_type: 'Qwen2VLImageProcessor',
    ...{ min_pixels: 3136, max_pixels: 12845056, patch_size: 14, temporal_patch_size: 2, merge_size: 2 },
  },
  *tensors({ vision_config: vision, ...text }) {
    yield* qwenVision('visual', vision);
    yield* llama('model', { ...text, attention_bias: true });
  },
  // The chat template: a system prompt, the picture between its marks, the question, <|im_start|>assistant
  prompt(model, image, question) {
    const system = [151644, 8948, 198, 2610, 525, 264, 10950, 17847, 13, 151645, 198];
    const picture = [151644, 872, 198, 151652, model.imageToken, 151653];
    const text = [...system, ...picture, ...question, 151645, 198, 151644, 77091, 198];
    return [...model.expand(text, [image]).ids];
  },
};

const paliGemma = {
  layers: 4,
  config: (layers) => ({
    architectures: ['PaliGemmaForConditionalGeneration'],
    model_type: 'paligemma',
    ...{ bos_token_id: 2, eos_token_id: 1, image_token_index: 257152, pad_token_id: 0 },
    ...{ hidden_size: 2048, projection_dim: 2048 },
    text_config: {
      model_type: 'gemma',
      ...{ hidden_size: 2048, intermediate_size: 16384, num_hidden_layers: Math.min(layers, 18) },
      ...{ num_attention_heads: 8, num_key_value_heads: 1, num_image_tokens: 256, vocab_size: 257216 },
    },
    vision_config: {
      model_type: 'siglip_vision_model',
      ...{ hidden_size: 1152, intermediate_size: 4304, num_hidden_layers: Math.min(layers, 27) },
      ...{ num_attention_heads: 16, num_image_tokens: 256, patch_size: 14, projection_dim: 2048 },
      ...{ projector_hidden_act: 'gelu_fast', vision_use_head: false },
    },
  }),
  preprocessor: {
    image_processor_type: 'SiglipImageProcessor',
    ...{ image_seq_length: 256, resample: 3, size: { height: 224, width: 224 } },
    ...{ image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] },
  },
  *tensors({ text_config: text, vision_config: vision }) {
    yield* siglip('vision_tower.vision_model', { ...vision, image_size: 224 });
    yield* linear('multi_modal_projector.linear', [text.hidden_size, vision.hidden_size]);
    yield* llama('language_model.model', { ...text, head_dim: 256 });
  },
  // The features, <bos>, the question and a line break
  prompt: (model, image, question) => [...model.expand([model.imageToken, 2, ...question, 108], [image]).ids],
  // The whole prompt sees itself, so that every patch is a pass of the layers above it over all positions.
  patched: (layers) => [layers - 2, layers - 1].filter((layer) => layer >= 0),
};

/** @type {Readonly<Record<string, FamilyModel>>} */
export const FAMILY_MODELS = {
  'smolvlm-256m': smolVlm({ width: 576, mlp: 1536, depth: 30, heads: 9, keyHeads: 3 }),
  'smolvlm-500m': smolVlm({ width: 960, mlp: 2560, depth: 32, heads: 15, keyHeads: 5 }),
  'qwen2.5-vl-3b': qwen,
  'paligemma-3b': paliGemma,
};
