// Hook points of BLIP-VQA beside the modules of transformers' BlipForQuestionAnswering.

import { blockHooks, type HookInfo } from '../hook-table.ts';
import type { TowerConfig } from '../tower/index.ts';
import type { BlipConfig } from './config.ts';

export function blipHooks(config: BlipConfig): HookInfo[] {
  const { vision, textEncoder, textDecoder } = config;
  const visionModel = 'vision_model';
  return [
    { name: 'vision.hook_embed', shape: ['position', vision.width], module: `${visionModel}.embeddings` },
    ...blockHooks(vision, (layer) => {
      const block = `${visionModel}.encoder.layers.${layer}`;
      const qkv = `${block}.self_attn.qkv`;
      return {
        block,
        query: `${qkv}, first third`,
        key: `${qkv}, second third`,
        value: `${qkv}, last third`,
        attentionOut: `${block}.self_attn.projection`,
        mid: `${block}.layer_norm2`,
        mlpPre: `${block}.mlp.fc1`,
        mlpOut: `${block}.mlp.fc2`,
        mlp: `${block}.mlp`,
      };
    }),
    {
      name: 'vision.hook_out',
      shape: ['position', vision.width],
      module: `${visionModel}.post_layernorm of all positions`,
    },
    ...textHooks(textEncoder, 'text_encoder'),
    ...textHooks(textDecoder, 'text_decoder.bert'),
    {
      name: 'text_decoder.hook_head_transform',
      shape: ['position', textDecoder.width],
      module: 'text_decoder.cls.predictions.transform',
    },
    { name: 'logits', shape: [config.vocabulary], module: 'text_decoder.cls, last position' },
  ];
}

function textHooks(tower: TowerConfig, prefix: string): HookInfo[] {
  return [
    { name: `${tower.name}.hook_embed`, shape: ['position', tower.width], module: `${prefix}.embeddings` },
    ...blockHooks(tower, (layer) => {
      const block = `${prefix}.encoder.layer.${layer}`;
      return {
        block,
        query: `${block}.attention.self.query`,
        key: `${block}.attention.self.key`,
        value: `${block}.attention.self.value`,
        attentionOut: `${block}.attention.output.dense`,
        mid: `${block}.attention.output.LayerNorm`,
        cross: {
          self: `${block}.crossattention.self`,
          out: `${block}.crossattention.output.dense`,
          sum: `${block}.crossattention.output.LayerNorm`,
        },
        mlpPre: `${block}.intermediate.dense`,
        mlpOut: `${block}.output.dense`,
        mlp: `${block}.output.dense`,
        postNorm: `${block}.output.LayerNorm`,
      };
    }),
  ];
}
