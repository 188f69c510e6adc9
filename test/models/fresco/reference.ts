// A small Fresco with random weights, and what f64 arithmetic makes of them.

import type { ImageInput, Sample } from '../../../src/index.ts';
import * as reference from '../../reference/index.ts';
import { Random } from '../../support/random.ts';

export const CONFIG = {
  model_type: 'fresco',
  eos_token_id: 2,
  vision_config: {
    layers: 2,
    width: 32,
    heads: 4,
    head_size: 8,
    mlp_width: 56,
    image_size: 16,
    patch_size: 4,
  },
  text_config: {
    layers: 3,
    width: 40,
    heads: 6,
    key_heads: 3,
    head_size: 8,
    mlp_width: 72,
    vocab_size: 50,
    max_position_embeddings: 32,
  },
};
const random = new Random(20);
/** As in model.safetensors. */
export const weights = new Map<string, { shape: number[]; data: Float32Array<ArrayBuffer> }>();

function add(name: string, shape: number[], options: { centre?: number; spread?: number }): void {
  weights.set(name, {
    shape,
    data: random.vector(
      shape.reduce((a, b) => a * b, 1),
      options,
    ),
  });
}

function addLinear(name: string, rows: number, columns: number, bias: boolean): void {
  add(`${name}.weight`, [rows, columns], { spread: 1.7 / Math.sqrt(columns) });
  if (bias) add(`${name}.bias`, [rows], { spread: 0.2 });
}

function addNorm(name: string, width: number, shift: boolean): void {
  add(`${name}.weight`, [width], { centre: 1, spread: 0.3 });
  if (shift) add(`${name}.bias`, [width], { spread: 0.2 });
}

const V = CONFIG.vision_config;
const L = CONFIG.text_config;
const QUERIES = L.heads * L.head_size;
const KEYS = L.key_heads * L.head_size;
addLinear('vision.patches', V.width, 3 * V.patch_size ** 2, true);
add('vision.class', [V.width], {});
add('vision.positions', [17, V.width], {});
for (let layer = 0; layer < V.layers; layer++) {
  const path = `vision.layers.${layer}`;
  addLinear(`${path}.qkv`, 3 * V.width, V.width, true);
  addLinear(`${path}.out`, V.width, V.width, true);
  addLinear(`${path}.fc1`, V.mlp_width, V.width, true);
  addLinear(`${path}.fc2`, V.width, V.mlp_width, true);
  addNorm(`${path}.norm1`, V.width, true);
  addNorm(`${path}.norm2`, V.width, true);
}
addNorm('vision.norm', V.width, true);
add('decoder.tokens', [L.vocab_size, L.width], {});
for (let layer = 0; layer < L.layers; layer++) {
  const path = `decoder.layers.${layer}`;
  for (const [attention, memory] of [
    ['self', L.width],
    ['cross', V.width],
  ] as const) {
    addLinear(`${path}.${attention}.q`, QUERIES, L.width, false);
    addLinear(`${path}.${attention}.k`, KEYS, memory, false);
    addLinear(`${path}.${attention}.v`, KEYS, memory, false);
    addLinear(`${path}.${attention}.o`, L.width, QUERIES, false);
  }
  addLinear(`${path}.gate`, L.mlp_width, L.width, false);
  addLinear(`${path}.up`, L.mlp_width, L.width, false);
  addLinear(`${path}.down`, L.width, L.mlp_width, false);
  for (const norm of ['norm1', 'norm2', 'norm3']) addNorm(`${path}.${norm}`, L.width, false);
}
addNorm('decoder.norm', L.width, false);

/** Whether an edge is there. */
export type Edge = (attention: string, layer: number, query: number, key: number) => boolean;

/**
 * Fresco in f64: its activations by hook name.
 *
 * @param has edges of attentions (`vision.attn`, `language.attn`, `language.cross_attn`) that are left; default all
 */
export function computeInF64(
  { images: [image], ids }: Sample,
  has: Edge = () => true,
): Map<string, ArrayLike<number>> {
  const found = new Map<string, ArrayLike<number>>();
  const keep = (name: string, x: reference.Matrix) => {
    found.set(name, reference.flatten(x));
    return x;
  };
  const vector = (name: string) => weights.get(name)?.data as Float32Array;
  const matrix = (name: string) => {
    const { shape, data } = weights.get(name) as { shape: number[]; data: Float32Array };
    return reference.toRows(data, shape[1] as number);
  };
  const linear64 = (x: reference.Matrix, name: string, options: reference.LinearOptions = {}) =>
    reference.linear(x, matrix(`${name}.weight`), {
      ...(weights.has(`${name}.bias`) && { bias: vector(`${name}.bias`) }),
      ...options,
    });
  const norm64 = (x: reference.Matrix, name: string) =>
    weights.has(`${name}.bias`)
      ? reference.layerNorm(x, vector(`${name}.weight`), vector(`${name}.bias`), 1e-5)
      : reference.rmsNorm(x, vector(`${name}.weight`), 1e-5);
  const columns = (x: reference.Matrix, first: number, count: number) =>
    x.map((row) => Array.from(row).slice(first, first + count));
  const range = (count: number) => Array.from({ length: count }, (_, i) => i);

  const pixels = reference.imagePatches(
    [(image as ImageInput).data],
    V.image_size,
    V.image_size,
    V.patch_size,
  );
  let x = reference.embedImage(
    linear64(pixels, 'vision.patches'),
    vector('vision.class'),
    matrix('vision.positions'),
  );
  const all = range(x.length);
  const shape = { heads: V.heads, keyHeads: V.heads, headSize: V.head_size };
  for (let layer = 0; layer < V.layers; layer++) {
    const path = `vision.layers.${layer}`;
    const qkv = linear64(norm64(x, `${path}.norm1`), `${path}.qkv`);
    const part = (i: number) => columns(qkv, i * V.width, V.width);
    const heads = reference.attention(
      part(0),
      part(1),
      part(2),
      shape,
      all.map((query) => ({ query, keys: all.filter((key) => has('vision.attn', layer, query, key)) })),
    );
    const z = heads.map((results) => results.flatMap((head) => head.z));
    x = linear64(z, `${path}.out`, { residual: x });
    const hidden = linear64(norm64(x, `${path}.norm2`), `${path}.fc1`, { activation: 'gelu' });
    x = keep(`vision.blocks.${layer}.hook_resid_post`, linear64(hidden, `${path}.fc2`, { residual: x }));
  }
  const memory = keep('vision.hook_out', norm64(x, 'vision.norm'));

  const positions = range(ids.length);
  const decoder = { heads: L.heads, keyHeads: L.key_heads, headSize: L.head_size };
  x = reference.embedTokens(ids, matrix('decoder.tokens'));
  for (let layer = 0; layer < L.layers; layer++) {
    const path = `decoder.layers.${layer}`;
    const hook = `language.blocks.${layer}`;
    const input = norm64(x, `${path}.norm1`);
    const q = reference.rotary(linear64(input, `${path}.self.q`), L.heads, positions, 10000);
    const k = reference.rotary(linear64(input, `${path}.self.k`), L.key_heads, positions, 10000);
    keep(`${hook}.attn.hook_rot_k`, k);
    const self = reference.attention(
      q,
      k,
      linear64(input, `${path}.self.v`),
      decoder,
      positions.map((query) => ({
        query,
        keys: range(query + 1).filter((key) => has('language.attn', layer, query, key)),
      })),
    );
    const z = keep(
      `${hook}.attn.hook_z`,
      self.map((results) => results.flatMap((head) => head.z)),
    );
    x = keep(`${hook}.hook_resid_mid`, linear64(z, `${path}.self.o`, { residual: x }));
    const cross = reference.attention(
      linear64(norm64(x, `${path}.norm2`), `${path}.cross.q`),
      keep(`${hook}.cross_attn.hook_k`, linear64(memory, `${path}.cross.k`)),
      linear64(memory, `${path}.cross.v`),
      decoder,
      positions.map((query) => ({
        query,
        keys: all.filter((key) => has('language.cross_attn', layer, query, key)),
      })),
    );
    keep(
      `${hook}.cross_attn.hook_pattern`,
      range(L.heads).flatMap((h) =>
        positions.map((query) => {
          const pattern = [...(cross[query]?.[h]?.pattern ?? [])];
          return all.map(
            (key) => (has('language.cross_attn', layer, query, key) ? pattern.shift() : 0) as number,
          );
        }),
      ),
    );
    const crossZ = keep(
      `${hook}.cross_attn.hook_z`,
      cross.map((results) => results.flatMap((head) => head.z)),
    );
    x = keep(`${hook}.hook_resid_cross`, linear64(crossZ, `${path}.cross.o`, { residual: x }));
    const inner = norm64(x, `${path}.norm3`);
    const hidden = reference.activate(linear64(inner, `${path}.gate`), 'silu', linear64(inner, `${path}.up`));
    x = keep(`${hook}.hook_resid_post`, linear64(hidden, `${path}.down`, { residual: x }));
  }
  keep('logits', reference.linear(norm64(x.slice(-1), 'decoder.norm'), matrix('decoder.tokens')));
  return found;
}
