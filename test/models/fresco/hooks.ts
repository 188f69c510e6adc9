import { blockHooks, type HookInfo } from '../../../src/models/hook-table.ts';
import type { FrescoConfig } from './config.ts';

export function frescoHooks({ vision, language, vocabulary }: FrescoConfig): HookInfo[] {
  return [
    { name: 'vision.hook_embed', shape: ['position', vision.width], module: 'vision.embeddings' },
    ...blockHooks(vision, (layer) => {
      const block = `vision.layers.${layer}`;
      return {
        block,
        query: `${block}.qkv, first third`,
        key: `${block}.qkv, second third`,
        value: `${block}.qkv, last third`,
        attentionOut: `${block}.out`,
        mid: `${block}.norm2`,
        mlpPre: `${block}.fc1`,
        mlpOut: `${block}.fc2`,
        mlp: `${block}.fc2`,
      };
    }),
    { name: 'vision.hook_out', shape: ['position', vision.width], module: 'vision.norm' },
    { name: 'language.hook_embed', shape: ['position', language.width], module: 'decoder.tokens' },
    ...blockHooks(language, (layer) => {
      const block = `decoder.layers.${layer}`;
      return {
        block,
        query: `${block}.self.q`,
        key: `${block}.self.k`,
        value: `${block}.self.v`,
        attentionOut: `${block}.self.o`,
        mid: `${block}.norm2`,
        cross: { self: `${block}.cross`, out: `${block}.cross.o`, sum: `${block}.norm3` },
        mlpPre: `${block}.gate`,
        mlpLinear: `${block}.up`,
        mlpOut: `${block}.down`,
        mlp: `${block}.down`,
      };
    }),
    { name: 'logits', shape: [vocabulary], module: 'decoder.tokens transposed, last position' },
  ];
}
