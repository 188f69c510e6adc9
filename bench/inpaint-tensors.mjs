// Stable Diffusion 2 inpainting as diffusers writes it: config.json of its parts, and names and shapes of their tensors.

export const UNET = {
  _class_name: 'UNet2DConditionModel',
  ...{ in_channels: 9, out_channels: 4, sample_size: 64, layers_per_block: 2 },
  ...{ block_out_channels: [320, 640, 1280, 1280], attention_head_dim: [5, 10, 20, 20] },
  ...{ cross_attention_dim: 1024, norm_num_groups: 32, use_linear_projection: true },
};
export const VAE = {
  _class_name: 'AutoencoderKL',
  ...{ block_out_channels: [128, 256, 512, 512], layers_per_block: 2, norm_num_groups: 32 },
  down_block_types: Array(4).fill('DownEncoderBlock2D'),
  up_block_types: Array(4).fill('UpDecoderBlock2D'),
};
export const TEXT = {
  ...{ model_type: 'clip_text_model', hidden_act: 'gelu', vocab_size: 49408, hidden_size: 1024 },
  ...{ intermediate_size: 4096, num_hidden_layers: 23, num_attention_heads: 16 },
};

function* layer(path, shape) {
  yield [`${path}.weight`, shape];
  yield [`${path}.bias`, [shape[0]]];
}

const norm = (path, size) => layer(path, [size]);
const conv = (path, to, from, kernel = 3) => layer(path, [to, from, kernel, kernel]);

function* resnet(path, from, to, time) {
  yield* norm(`${path}.norm1`, from);
  yield* conv(`${path}.conv1`, to, from);
  if (time) yield* layer(`${path}.time_emb_proj`, [to, time]);
  yield* norm(`${path}.norm2`, to);
  yield* conv(`${path}.conv2`, to, to);
  if (from !== to) yield* conv(`${path}.conv_shortcut`, to, from, 1);
}

function* transformer(path, width, text) {
  yield* norm(`${path}.norm`, width);
  yield* layer(`${path}.proj_in`, [width, width]);
  const block = `${path}.transformer_blocks.0`;
  for (const [name, from] of [
    ['attn1', width],
    ['attn2', text],
  ]) {
    yield [`${block}.${name}.to_q.weight`, [width, width]];
    yield [`${block}.${name}.to_k.weight`, [width, from]];
    yield [`${block}.${name}.to_v.weight`, [width, from]];
    yield* layer(`${block}.${name}.to_out.0`, [width, width]);
  }
  for (const i of [1, 2, 3]) yield* norm(`${block}.norm${i}`, width);
  yield* layer(`${block}.ff.net.0.proj`, [8 * width, width]);
  yield* layer(`${block}.ff.net.2`, [width, 4 * width]);
  yield* layer(`${path}.proj_out`, [width, width]);
}

export function* unetTensors({
  block_out_channels: channels,
  in_channels: input,
  out_channels: output,
  cross_attention_dim: text,
}) {
  const [first] = channels;
  const time = 4 * first;
  const deepest = channels.at(-1);
  yield* conv('conv_in', first, input);
  yield* layer('time_embedding.linear_1', [time, first]);
  yield* layer('time_embedding.linear_2', [time, time]);
  const skips = [first];
  for (const [level, to] of channels.entries()) {
    const block = `down_blocks.${level}`;
    for (const i of [0, 1]) {
      yield* resnet(`${block}.resnets.${i}`, i > 0 ? to : channels[Math.max(0, level - 1)], to, time);
      if (level < 3) yield* transformer(`${block}.attentions.${i}`, to, text);
      skips.push(to);
    }
    if (level === 3) continue;
    yield* conv(`${block}.downsamplers.0.conv`, to, to);
    skips.push(to);
  }
  for (const i of [0, 1]) yield* resnet(`mid_block.resnets.${i}`, deepest, deepest, time);
  yield* transformer('mid_block.attentions.0', deepest, text);
  let stream = deepest;
  for (const [turn, to] of channels.toReversed().entries()) {
    const block = `up_blocks.${turn}`;
    for (const i of [0, 1, 2]) {
      yield* resnet(`${block}.resnets.${i}`, stream + skips.pop(), to, time);
      if (turn > 0) yield* transformer(`${block}.attentions.${i}`, to, text);
      stream = to;
    }
    if (turn < 3) yield* conv(`${block}.upsamplers.0.conv`, to, to);
  }
  yield* norm('conv_norm_out', first);
  yield* conv('conv_out', output, first);
}

export function* vaeTensors({ block_out_channels: channels }) {
  const deepest = channels.at(-1);
  for (const [half, order, count, resize, input, output] of [
    ['encoder', channels, 2, 'downsamplers', 3, 8],
    ['decoder', channels.toReversed(), 3, 'upsamplers', 4, 3],
  ]) {
    const blocks = half === 'encoder' ? 'down_blocks' : 'up_blocks';
    yield* conv(`${half}.conv_in`, order[0], input);
    for (const [level, to] of order.entries()) {
      const block = `${half}.${blocks}.${level}`;
      for (let i = 0; i < count; i++)
        yield* resnet(`${block}.resnets.${i}`, i > 0 ? to : order[Math.max(0, level - 1)], to);
      if (level < 3) yield* conv(`${block}.${resize}.0.conv`, to, to);
    }
    for (const i of [0, 1]) yield* resnet(`${half}.mid_block.resnets.${i}`, deepest, deepest);
    yield* norm(`${half}.mid_block.attentions.0.group_norm`, deepest);
    for (const name of ['to_q', 'to_k', 'to_v', 'to_out.0'])
      yield* layer(`${half}.mid_block.attentions.0.${name}`, [deepest, deepest]);
    yield* norm(`${half}.conv_norm_out`, order.at(-1));
    yield* conv(`${half}.conv_out`, output, order.at(-1));
  }
  yield* conv('quant_conv', 8, 8, 1);
  yield* conv('post_quant_conv', 4, 4, 1);
}

export function* textTensors({
  vocab_size: vocabulary,
  hidden_size: width,
  intermediate_size: mlp,
  num_hidden_layers: layers,
}) {
  yield ['text_model.embeddings.token_embedding.weight', [vocabulary, width]];
  yield ['text_model.embeddings.position_embedding.weight', [77, width]];
  for (let i = 0; i < layers; i++) {
    const block = `text_model.encoder.layers.${i}`;
    for (const name of ['q_proj', 'k_proj', 'v_proj', 'out_proj'])
      yield* layer(`${block}.self_attn.${name}`, [width, width]);
    for (const name of ['layer_norm1', 'layer_norm2']) yield* norm(`${block}.${name}`, width);
    yield* layer(`${block}.mlp.fc1`, [mlp, width]);
    yield* layer(`${block}.mlp.fc2`, [width, mlp]);
  }
  yield* norm('text_model.final_layer_norm', width);
}
