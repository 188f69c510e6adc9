// The hook points of a tower as a table: name, shape, and the module of transformers whose output it equals.

import type { TowerConfig } from './tower/index.ts';

export interface HookInfo {
  readonly name: string;
  /** Dimensions without batch, numbers where they are fixed. */
  readonly shape: readonly (string | number)[];
  /** Module path in transformers, with what of it is meant. */
  readonly module: string;
}

/** Module paths inside one block of the checkpoint's class. */
export interface BlockModules {
  readonly block: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly attentionOut: string;
  /** Where the residual sum after attention is found. */
  readonly mid: string;
  readonly cross?: { readonly self: string; readonly out: string; readonly sum: string };
  readonly mlpPre: string;
  readonly mlpLinear?: string;
  readonly mlpOut: string;
  readonly mlp: string;
  readonly postNorm?: string;
}

/** Hook points of all blocks of a tower. `modules` gives the paths of block l. */
export function blockHooks(config: TowerConfig, modules: (layer: number) => BlockModules): HookInfo[] {
  const { name, layers, width, heads, keyHeads, headSize, mlpWidth, norm } = config;
  const hooks: HookInfo[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const m = modules(layer);
    const add = (hook: string, shape: HookInfo['shape'], module: string) =>
      hooks.push({ name: `${name}.blocks.${layer}.${hook}`, shape, module });
    const stream = ['position', width];
    const attention = (prefix: string, key: string, q: string, k: string, v: string, out: string) => {
      add(`${prefix}.hook_q`, ['position', heads, headSize], q);
      add(`${prefix}.hook_k`, [key, keyHeads, headSize], k);
      add(`${prefix}.hook_v`, [key, keyHeads, headSize], v);
      if (config.rotary && prefix === 'attn') {
        add('attn.hook_rot_q', ['position', heads, headSize], 'query after apply_rotary_pos_emb');
        add('attn.hook_rot_k', ['position', keyHeads, headSize], 'key after apply_rotary_pos_emb');
      }
      add(
        `${prefix}.hook_attn_scores`,
        [heads, 'position', key],
        'scaled scores before softmax, masked −inf',
      );
      add(`${prefix}.hook_pattern`, [heads, 'position', key], 'softmax of the scores');
      add(`${prefix}.hook_z`, ['position', heads, headSize], `input of ${out}`);
    };
    add('hook_resid_pre', stream, `input of ${m.block}`);
    attention('attn', 'key', m.query, m.key, m.value, m.attentionOut);
    add('hook_attn_out', stream, m.attentionOut);
    add('hook_resid_mid', stream, `input of ${m.mid}`);
    if (norm === 'after') add('hook_normalized_resid_mid', stream, m.mid);
    if (m.cross) {
      const { self, out, sum } = m.cross;
      attention('cross_attn', 'memory position', `${self}.query`, `${self}.key`, `${self}.value`, out);
      add('hook_cross_attn_out', stream, out);
      add('hook_resid_cross', stream, `input of ${sum}`);
      if (norm === 'after') add('hook_normalized_resid_cross', stream, sum);
    }
    add('mlp.hook_pre', ['position', mlpWidth], m.mlpPre);
    if (m.mlpLinear) add('mlp.hook_pre_linear', ['position', mlpWidth], m.mlpLinear);
    add('mlp.hook_post', ['position', mlpWidth], `input of ${m.mlpOut}`);
    add('hook_mlp_out', stream, m.mlp);
    add('hook_resid_post', stream, m.postNorm ? `input of ${m.postNorm}` : m.block);
    if (m.postNorm) add('hook_normalized_resid_post', stream, m.postNorm);
  }
  return hooks;
}
