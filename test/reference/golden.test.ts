// The references are themselves checked: against activations that Hugging Face computed, and known values.

import { describe, expect, it } from 'vitest';
import { asFloat32, bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '../../src/weights/index.ts';
import { readGolden } from '../inputs/support.ts';
import { expectClose } from '../support/close.ts';
import { GOLDEN, Golden } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import {
  activate,
  attention,
  bf16Value,
  embedImage,
  embedTokens,
  erf,
  f16Value,
  flatten,
  imagePatches,
  layerNorm,
  linear,
  logSumExp,
  type Matrix,
  restoration,
  rmsNorm,
  rotary,
  roundToBf16,
  roundToF16,
  toRows,
} from './index.ts';

/** A model folder's golden tensors and weights. */
async function fixture(folder: string) {
  const golden = await Golden.open(folder);
  const weights = await readGolden(`${folder}/model.safetensors`);
  const get = (name: string) => {
    const weight = weights.get(name);
    return weight ? { shape: weight.shape, data: asFloat32(weight, name) } : golden.get(name);
  };
  return {
    cases: golden.cases,
    /** A tensor as rows, its last `axes` dimensions making up a row. */
    rows: (name: string, axes = 1): Matrix => {
      const { shape, data } = get(name);
      return toRows(
        data,
        shape.slice(-axes).reduce((a, b) => a * b, 1),
      );
    },
    vector: (name: string): Float32Array => get(name).data,
  };
}

const blip = await fixture('blip-tiny');
const llava = await fixture('llava-tiny');
const grouped = await fixture('llava-tiny-gqa');
const expectGolden = (actual: Matrix, golden: Matrix) =>
  expectClose(flatten(actual), flatten(golden), { ofMax: GOLDEN });

const all = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('the references agree with Hugging Face', () => {
  it('on BLIP image embeddings', () => {
    const model = 'vision_model.embeddings';
    const patches = imagePatches([blip.vector('case0/clean/pixel_values')], 48, 48, 8);
    const embedded = linear(patches, blip.rows(`${model}.patch_embedding.weight`, 3), {
      bias: blip.vector(`${model}.patch_embedding.bias`),
    });
    expectGolden(
      embedImage(embedded, blip.vector(`${model}.class_embedding`), blip.rows(`${model}.position_embedding`)),
      blip.rows('case0/clean/vision.hook_embed'),
    );
  });

  it('on BERT embeddings and LayerNorm', () => {
    const model = 'text_encoder.embeddings';
    const ids = blip.cases[0]!.clean.input_ids;
    const embedded = embedTokens(
      ids,
      blip.rows(`${model}.word_embeddings.weight`),
      all(ids.length),
      blip.rows(`${model}.position_embeddings.weight`),
    );
    const normalized = layerNorm(
      embedded,
      blip.vector(`${model}.LayerNorm.weight`),
      blip.vector(`${model}.LayerNorm.bias`),
      1e-12,
    );
    expectGolden(normalized, blip.rows('case0/clean/text_encoder.hook_embed'));
  });

  it.each([
    ['BLIP (gelu)', blip, 'vision_model', 'gelu', 1],
    ['CLIP (quick-gelu)', llava, 'vision_tower.vision_model', 'quick_gelu', 1],
  ] as const)('on the MLP and residual sum of %s', (_, { rows, vector }, model, activation, l) => {
    const hook = `case0/clean/vision.blocks.${l}`;
    const layer = `${model}.encoder.layers.${l}`;
    const affine = (name: string) =>
      [vector(`${layer}.${name}.weight`), vector(`${layer}.${name}.bias`)] as const;
    const mid = rows(`${hook}.hook_resid_mid`);
    const normalized = layerNorm(mid, ...affine('layer_norm2'), 1e-5);
    const hidden = linear(normalized, rows(`${layer}.mlp.fc1.weight`), {
      bias: affine('mlp.fc1')[1],
      activation,
    });
    expectGolden(hidden, rows(`${hook}.mlp.hook_post`));
    const post = linear(hidden, rows(`${layer}.mlp.fc2.weight`), {
      bias: affine('mlp.fc2')[1],
      residual: mid,
    });
    expectGolden(post, rows(`${hook}.hook_resid_post`));
  });

  it('on RMSNorm and the gated MLP of LLaMA', () => {
    const hook = 'case0/clean/language.blocks.2';
    const layer = 'language_model.model.layers.2';
    const normalized = rmsNorm(
      llava.rows(`${hook}.hook_resid_mid`),
      llava.vector(`${layer}.post_attention_layernorm.weight`),
      1e-6, // LlamaConfig's default
    );
    const gate = linear(normalized, llava.rows(`${layer}.mlp.gate_proj.weight`));
    const up = linear(normalized, llava.rows(`${layer}.mlp.up_proj.weight`));
    expectGolden(gate, llava.rows(`${hook}.mlp.hook_pre`));
    expectGolden(activate(gate, 'silu', up), llava.rows(`${hook}.mlp.hook_post`));
  });

  it('on rotary embedding', () => {
    const hook = 'case0/clean/language.blocks.1.attn';
    const q = grouped.rows(`${hook}.hook_q`, 2);
    const k = grouped.rows(`${hook}.hook_k`, 2);
    expectGolden(rotary(q, 6, all(q.length), 10000), grouped.rows(`${hook}.hook_rot_q`, 2));
    expectGolden(rotary(k, 2, all(k.length), 10000), grouped.rows(`${hook}.hook_rot_k`, 2));
  });

  it.each([
    ['bidirectional', blip, 'vision.blocks.0.attn', 5, 5, 8, 'hook_q', 'hook_k'],
    ['cross', blip, 'text_encoder.blocks.1.cross_attn', 4, 4, 10, 'hook_q', 'hook_k'],
    ['causal', llava, 'language.blocks.0.attn', 6, 6, 8, 'hook_rot_q', 'hook_rot_k'],
    ['grouped causal', grouped, 'language.blocks.3.attn', 6, 2, 8, 'hook_rot_q', 'hook_rot_k'],
  ] as const)('on %s attention', (kind, { rows }, site, heads, keyHeads, headSize, hookQ, hookK) => {
    const hook = `case0/clean/${site}`;
    const q = rows(`${hook}.${hookQ}`, 2);
    const k = rows(`${hook}.${hookK}`, 2);
    const queries = all(q.length).map((query) => ({
      query,
      keys: all(kind.includes('causal') ? query + 1 : k.length),
    }));
    const result = attention(q, k, rows(`${hook}.hook_v`, 2), { heads, keyHeads, headSize }, queries);
    const pattern = rows(`${hook}.hook_pattern`, 1); // [head, query, key], masked entries 0
    const padded = all(heads).flatMap((h) =>
      result.map((row) => all(k.length).map((key) => row[h]!.pattern[key] ?? 0)),
    );
    expectGolden(padded, pattern);
    expectGolden(
      result.map((row) => row.flatMap(({ z }) => z)),
      rows(`${hook}.hook_z`, 2),
    );
  });

  it('on the numbers of a patched run', () => {
    const { correct_token, incorrect_token } = blip.cases[0]!;
    const logits = [blip.vector('case0/clean/logits'), blip.vector('case0/corrupt/logits')];
    const ids = logits.map(() => [correct_token, incorrect_token]);
    const [p, pCorrupt, difference, differenceCorrupt] = blip.vector(
      'case0/patch/baseline',
    ) as unknown as number[];
    expectGolden(restoration(logSumExp(logits, ids), [{ patched: 0, corrupt: 1, clean: 0 }]), [
      [p!, p! - pCorrupt!, difference! - differenceCorrupt!, 1],
    ]);
  });
});

describe('erf', () => {
  it('has the values of Abramowitz and Stegun, table 7.1, and of mpmath', () => {
    const table = new Map([
      [0, 0],
      [0.02, 0.0225645747],
      [0.5, 0.5204998778],
      [1, 0.8427007929],
      [1.5, 0.9661051465],
      [2, 0.995322265018953],
      [3, 0.999977909503001],
      [5, 0.999999999998463],
      [7, 1],
    ]);
    for (const [x, value] of table) {
      expect(erf(x)).toBeCloseTo(value, 10);
      expect(erf(-x)).toBeCloseTo(-value, 10);
    }
  });
});

describe('the half types', () => {
  it('have the values that their 16 bits say', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    expectClose(Array.from(bits, f16Value), f16ToF32(bits), { atol: 0 });
    expectClose(Array.from(bits, bf16Value), bf16ToF32(bits), { atol: 0 });
  });

  it('are rounded to as by the conversions of src/weights', () => {
    const random = new Random(1);
    const bits = Uint32Array.from({ length: 20_000 }, () => random.next() * 2 ** 32);
    const values = new Float32Array(bits.buffer);
    expectClose(Array.from(values, roundToF16), f16ToF32(f32ToF16(values)), { atol: 0 });
    expectClose(Array.from(values, roundToBf16), bf16ToF32(f32ToBf16(values)), { atol: 0 });
  });
});
