// A checkpoint of LLaVA-1.5-7B's shapes with random weights: sharded f16 safetensors and an index, as the hub has them.
// 13.2 GB with all 32 layers; with fewer, 0.4 GB less for each.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { f32ToF16, safetensorsChunks } from '../dist/weights/index.js';
import { randomValues } from './measure.mjs';

const WIDTH = 4096;
const HIDDEN = 11008;
const VOCABULARY = 32064;
const VISION = { hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 24, num_attention_heads: 16 };
/** Bytes of a shard, as the hub's converter splits. */
const SHARD_BYTES = 5e9;
/** Standard deviation of the weights, LLaMA's `initializer_range`. */
const DEVIATION = 0.02;
/** Random values that all tensors are cut out of, each from another place: drawing 7e9 would take longer than all the rest. */
const POOL = 1 << 22;

/** What config.json says; the rest is the defaults of transformers, as in the hub's file. */
function configOf(layers) {
  return {
    architectures: ['LlavaForConditionalGeneration'],
    model_type: 'llava',
    image_token_index: 32000,
    pad_token_id: 32001,
    projector_hidden_act: 'gelu',
    text_config: {
      model_type: 'llama',
      hidden_size: WIDTH,
      intermediate_size: HIDDEN,
      num_attention_heads: 32,
      num_hidden_layers: layers,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      vocab_size: VOCABULARY,
    },
    tie_word_embeddings: false,
    torch_dtype: 'float16',
    vision_config: { model_type: 'clip_vision_model', image_size: 336, patch_size: 14, ...VISION },
    vision_feature_layer: -2,
    vision_feature_select_strategy: 'default',
  };
}

/** Names and shapes in the order of the module. */
function* tensorsOf(layers) {
  const { hidden_size: d, intermediate_size: mlp, num_hidden_layers: visionLayers } = VISION;
  const vision = 'vision_tower.vision_model';
  const linear = function* (name, out, width) {
    yield [`${name}.weight`, [out, width]];
    yield [`${name}.bias`, [out]];
  };
  const norm = function* (name) {
    yield [`${name}.weight`, [d]];
    yield [`${name}.bias`, [d]];
  };
  yield [`${vision}.embeddings.class_embedding`, [d]];
  yield [`${vision}.embeddings.patch_embedding.weight`, [d, 3, 14, 14]];
  yield [`${vision}.embeddings.position_embedding.weight`, [577, d]];
  yield* norm(`${vision}.pre_layrnorm`);
  for (let layer = 0; layer < visionLayers; layer++) {
    const block = `${vision}.encoder.layers.${layer}`;
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
      yield* linear(`${block}.self_attn.${part}`, d, d);
    yield* linear(`${block}.mlp.fc1`, mlp, d);
    yield* linear(`${block}.mlp.fc2`, d, mlp);
    yield* norm(`${block}.layer_norm1`);
    yield* norm(`${block}.layer_norm2`);
  }
  yield* norm(`${vision}.post_layernorm`);
  yield* linear('multi_modal_projector.linear_1', WIDTH, d);
  yield* linear('multi_modal_projector.linear_2', WIDTH, WIDTH);
  yield ['language_model.model.embed_tokens.weight', [VOCABULARY, WIDTH]];
  for (let layer = 0; layer < layers; layer++) {
    const block = `language_model.model.layers.${layer}`;
    for (const part of ['q', 'k', 'v', 'o']) yield [`${block}.self_attn.${part}_proj.weight`, [WIDTH, WIDTH]];
    for (const part of ['gate', 'up']) yield [`${block}.mlp.${part}_proj.weight`, [HIDDEN, WIDTH]];
    yield [`${block}.mlp.down_proj.weight`, [WIDTH, HIDDEN]];
    for (const part of ['input', 'post_attention']) yield [`${block}.${part}_layernorm.weight`, [WIDTH]];
  }
  yield ['language_model.model.norm.weight', [WIDTH]];
  yield ['language_model.lm_head.weight', [VOCABULARY, WIDTH]];
}

/** Writes the checkpoint unless a whole one is there. @returns bytes of its tensors */
export async function writeLlavaCheckpoint(folder, layers) {
  const tensors = [...tensorsOf(layers)].map(([name, shape]) => ({
    name,
    shape,
    count: shape.reduce((product, size) => product * size, 1),
  }));
  const total = tensors.reduce((sum, { count }) => sum + 2 * count, 0);
  const index = join(folder, 'model.safetensors.index.json');
  if (existsSync(index)) return total;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const shards = [[]];
  let filled = 0;
  for (const tensor of tensors) {
    if (filled + 2 * tensor.count > SHARD_BYTES) {
      shards.push([]);
      filled = 0;
    }
    shards.at(-1).push(tensor);
    filled += 2 * tensor.count;
  }
  const width = DEVIATION * Math.sqrt(12); // of a uniform distribution
  const pool = f32ToF16(randomValues(POOL, 7).map((value) => value * width));
  const weightMap = {};
  for (const [i, shard] of shards.entries()) {
    const number = (value) => String(value).padStart(5, '0');
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    const handle = await open(join(folder, file), 'w');
    const entries = shard.map(({ name, shape, count }, place) => ({
      name,
      dtype: 'F16',
      shape,
      data: async () => valuesOf(name, count, pool, 7919 * (place + 1)),
    }));
    for await (const chunk of safetensorsChunks(entries, { format: 'pt' })) await handle.writeFile(chunk);
    await handle.close();
    for (const { name } of shard) weightMap[name] = file;
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(layers), null, 1));
  // Last: it says that the rest is whole.
  writeFileSync(index, JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 1));
  return total;
}

function valuesOf(name, count, pool, from) {
  const values = new Uint16Array(count);
  if (/norm.*\.weight$/.test(name)) return values.fill(0x3c00); // 1
  for (let at = 0, start = from % POOL; at < count; start = 0) {
    const piece = pool.subarray(start, Math.min(POOL, start + count - at));
    values.set(piece, at);
    at += piece.length;
  }
  return values;
}
