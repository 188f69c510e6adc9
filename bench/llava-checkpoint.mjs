// A checkpoint of LLaVA-1.5-7B's shapes with random weights: sharded f16 safetensors and an index, as the hub has them.
// 13.2 GB with all 32 layers; with fewer, 0.4 GB less for each.
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { safetensorsChunks } from '../dist/weights/index.js';
import { linear, llama, vitBlocks } from './family-tensors.mjs';
import { randomWeights } from './random-weights.mjs';

/** Bytes of a shard, as the hub's converter splits. */
const SHARD_BYTES = 5e9;

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
      hidden_size: 4096,
      intermediate_size: 11008,
      num_attention_heads: 32,
      num_hidden_layers: layers,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-5,
      vocab_size: 32064,
    },
    tie_word_embeddings: false,
    torch_dtype: 'float16',
    vision_config: {
      model_type: 'clip_vision_model',
      ...{ hidden_size: 1024, intermediate_size: 4096, num_hidden_layers: 24, num_attention_heads: 16 },
      ...{ image_size: 336, patch_size: 14 },
    },
    vision_feature_layer: -2,
    vision_feature_select_strategy: 'default',
  };
}

/** Names and shapes. */
function* tensorsOf({ text_config: text, vision_config: vision }) {
  const { hidden_size: width } = vision;
  const clip = 'vision_tower.vision_model';
  yield [`${clip}.embeddings.class_embedding`, [width]];
  yield [`${clip}.embeddings.patch_embedding.weight`, [width, 3, 14, 14]];
  yield [`${clip}.embeddings.position_embedding.weight`, [577, width]];
  yield* linear(`${clip}.pre_layrnorm`, [width]);
  yield* vitBlocks(clip, vision);
  yield* linear(`${clip}.post_layernorm`, [width]);
  yield* linear('multi_modal_projector.linear_1', [text.hidden_size, width]);
  yield* linear('multi_modal_projector.linear_2', [text.hidden_size, text.hidden_size]);
  yield* llama('language_model.model', text);
  yield ['language_model.lm_head.weight', [text.vocab_size, text.hidden_size]];
}

/**
 * Writes the checkpoint unless a whole one is there.
 *
 * @param {{ sparse?: boolean }} [options] `sparse`: for plans, which read headers alone; the files have holes for values
 * @returns bytes of its tensors
 */
export async function writeLlavaCheckpoint(folder, layers, { sparse = false } = {}) {
  const config = configOf(layers);
  const tensors = [...tensorsOf(config)].map(([name, shape]) => ({
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
  const valuesOf = randomWeights('F16');
  const weightMap = {};
  for (const [i, shard] of shards.entries()) {
    const number = (value) => String(value).padStart(5, '0');
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    const handle = await open(join(folder, file), 'w');
    const entries = shard.map(({ name, shape, count }, place) => ({
      name,
      dtype: 'F16',
      shape,
      data: async () => valuesOf(name, place, 0, count),
    }));
    for await (const chunk of safetensorsChunks(entries, { format: 'pt' })) {
      await handle.writeFile(chunk);
      // The first one is the header.
      if (!sparse) continue;
      await handle.truncate(chunk.length + shard.reduce((sum, { count }) => sum + 2 * count, 0));
      break;
    }
    await handle.close();
    for (const { name } of shard) weightMap[name] = file;
  }
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 1));
  // Last: it says that the rest is whole.
  writeFileSync(index, JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap }, null, 1));
  return total;
}
