// Hook points of LLaVA beside the modules of transformers' LlavaForConditionalGeneration.

import { blockHooks, type HookInfo } from '../hook-table.ts';
import type { LlavaConfig } from './config.ts';

export function llavaHooks(config: LlavaConfig): HookInfo[] {
  const { vision, language, vocabulary } = config;
  const clip = 'vision_tower.vision_model';
  const projector = 'multi_modal_projector';
  const llama = 'language_model.model';
  return [
    { name: 'vision.hook_embed', shape: ['position', vision.width], module: `${clip}.embeddings` },
    ...blockHooks(vision, (layer) => {
      const block = `${clip}.encoder.layers.${layer}`;
      return {
        block,
        query: `${block}.self_attn.q_proj`,
        key: `${block}.self_attn.k_proj`,
        value: `${block}.self_attn.v_proj`,
        attentionOut: `${block}.self_attn.out_proj`,
        mid: `${block}.layer_norm2`,
        mlpPre: `${block}.mlp.fc1`,
        mlpOut: `${block}.mlp.fc2`,
        mlp: `${block}.mlp`,
      };
    }),
    { name: 'vision.hook_selected', shape: ['feature', vision.width], module: `input of ${projector}` },
    { name: 'projector.hook_pre', shape: ['feature', language.width], module: `${projector}.linear_1` },
    {
      name: 'projector.hook_post',
      shape: ['feature', language.width],
      module: `input of ${projector}.linear_2`,
    },
    { name: 'projector.hook_out', shape: ['feature', language.width], module: `${projector}.linear_2` },
    {
      name: 'language.hook_embed',
      shape: ['position', language.width],
      module: `input of ${llama}.layers.0`,
    },
    ...blockHooks(language, (layer) => {
      const block = `${llama}.layers.${layer}`;
      return {
        block,
        query: `${block}.self_attn.q_proj`,
        key: `${block}.self_attn.k_proj`,
        value: `${block}.self_attn.v_proj`,
        attentionOut: `${block}.self_attn.o_proj`,
        mid: `${block}.post_attention_layernorm`,
        mlpPre: `${block}.mlp.gate_proj`,
        mlpLinear: `${block}.mlp.up_proj`,
        mlpOut: `${block}.mlp.down_proj`,
        mlp: `${block}.mlp`,
      };
    }),
    { name: 'language.hook_out', shape: ['position', language.width], module: `${llama}.norm` },
    { name: 'logits_all', shape: ['position', vocabulary], module: 'language_model.lm_head' },
    { name: 'logits', shape: [vocabulary], module: 'language_model.lm_head, last position' },
  ];
}
