// Names and shapes of the tensors in checkpoints on the hub, from the sections of their config.json.

/** SigLIP's vision tower behind a path. */
export function* siglip(path, config) {
  const { hidden_size: width, image_size: image, patch_size: patch } = config;
  yield* linear(`${path}.embeddings.patch_embedding`, [width, 3, patch, patch]);
  yield [`${path}.embeddings.position_embedding.weight`, [Math.floor(image / patch) ** 2, width]];
  yield* vitBlocks(path, config);
  yield* linear(`${path}.post_layernorm`, [width]);
}

/** Blocks of CLIP's and SigLIP's vision towers. */
export function* vitBlocks(path, config) {
  const { hidden_size: width, intermediate_size: mlp, num_hidden_layers: layers } = config;
  for (let layer = 0; layer < layers; layer++) {
    const block = `${path}.encoder.layers.${layer}`;
    for (const part of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
      yield* linear(`${block}.self_attn.${part}`, [width, width]);
    yield* linear(`${block}.mlp.fc1`, [mlp, width]);
    yield* linear(`${block}.mlp.fc2`, [width, mlp]);
    for (const norm of ['layer_norm1', 'layer_norm2']) yield* linear(`${block}.${norm}`, [width]);
  }
}

/** The vision tower of Qwen2.5-VL and its merger. */
export function* qwenVision(path, config) {
  const { hidden_size: width, intermediate_size: mlp, depth: layers, out_hidden_size: out } = config;
  const { patch_size: patch, temporal_patch_size: frames, spatial_merge_size: merge } = config;
  yield [`${path}.patch_embed.proj.weight`, [width, 3, frames, patch, patch]];
  for (let layer = 0; layer < layers; layer++) {
    const block = `${path}.blocks.${layer}`;
    yield* linear(`${block}.attn.qkv`, [3 * width, width]);
    yield* linear(`${block}.attn.proj`, [width, width]);
    for (const part of ['gate', 'up']) yield* linear(`${block}.mlp.${part}_proj`, [mlp, width]);
    yield* linear(`${block}.mlp.down_proj`, [width, mlp]);
    for (const norm of ['norm1', 'norm2']) yield [`${block}.${norm}.weight`, [width]];
  }
  const merged = merge ** 2 * width;
  yield [`${path}.merger.ln_q.weight`, [width]];
  yield* linear(`${path}.merger.mlp.0`, [merged, merged]);
  yield* linear(`${path}.merger.mlp.2`, [out, merged]);
}

/** LLaMA and what follows it, without its head; `attention_bias` of queries, keys and values alone, as Qwen2 has it. */
export function* llama(path, config) {
  const {
    hidden_size: width,
    intermediate_size: mlp,
    num_hidden_layers: layers,
    vocab_size: vocabulary,
  } = config;
  const {
    num_attention_heads: heads,
    num_key_value_heads: keyHeads = heads,
    head_dim: headSize = width / heads,
  } = config;
  yield [`${path}.embed_tokens.weight`, [vocabulary, width]];
  for (let layer = 0; layer < layers; layer++) {
    const block = `${path}.layers.${layer}`;
    for (const [part, count] of Object.entries({ q: heads, k: keyHeads, v: keyHeads })) {
      const shape = [count * headSize, width];
      if (config.attention_bias) yield* linear(`${block}.self_attn.${part}_proj`, shape);
      else yield [`${block}.self_attn.${part}_proj.weight`, shape];
    }
    yield [`${block}.self_attn.o_proj.weight`, [width, heads * headSize]];
    for (const part of ['gate', 'up']) yield [`${block}.mlp.${part}_proj.weight`, [mlp, width]];
    yield [`${block}.mlp.down_proj.weight`, [width, mlp]];
    for (const norm of ['input', 'post_attention']) yield [`${block}.${norm}_layernorm.weight`, [width]];
  }
  yield [`${path}.norm.weight`, [width]];
}

/** Weight and bias of a linear layer, a convolution or a norm. */
export function* linear(path, shape) {
  yield [`${path}.weight`, shape];
  yield [`${path}.bias`, [shape[0]]];
}
