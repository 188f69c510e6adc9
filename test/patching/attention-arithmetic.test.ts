// Edits inside attention, followed by hand: what comes after an edit is computed in f64 from what the edit left, with
// Hugging Face's activations and the checkpoint's weights where these say something.

import { beforeAll, describe, expect, test } from 'vitest';
import type { VisionLanguageModel } from '../../src/models/index.ts';
import { add, type Intervention, interpolate, runWithCache, scale, zero } from '../../src/patching/index.ts';
import { fileSource } from '../../src/platform/node/files.ts';
import { asFloat32, readTensors } from '../../src/weights/index.ts';
import { expectClose } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { Random } from '../support/random.ts';
import { HostActivation } from './support.ts';

let golden: Golden;
let model: VisionLanguageModel;
let weights: Map<string, Float32Array>;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
  model = await loadFixtureModel('blip-tiny');
  const source = await fileSource(fixture('blip-tiny/model.safetensors'));
  weights = new Map(
    [...(await readTensors(source))].map(([name, tensor]) => [name, asFloat32(tensor, name)]),
  );
  await source.close();
});

const text = (tower: string, layer: number) => `${tower}.encoder.layer.${layer}`;

/** Attentions of all kinds: prefix of the hooks, hook of the output, module of the output projection. */
const ATTENTIONS = [
  [
    'vision.blocks.1.attn',
    'vision.blocks.1.hook_attn_out',
    'vision_model.encoder.layers.1.self_attn.projection',
  ],
  [
    'text_encoder.blocks.0.attn',
    'text_encoder.blocks.0.hook_attn_out',
    `${text('text_encoder', 0)}.attention.output.dense`,
  ],
  [
    'text_encoder.blocks.2.cross_attn',
    'text_encoder.blocks.2.hook_cross_attn_out',
    `${text('text_encoder', 2)}.crossattention.output.dense`,
  ],
  [
    'text_decoder.blocks.1.attn',
    'text_decoder.blocks.1.hook_attn_out',
    `${text('text_decoder.bert', 1)}.attention.output.dense`,
  ],
  [
    'text_decoder.blocks.2.cross_attn',
    'text_decoder.blocks.2.hook_cross_attn_out',
    `${text('text_decoder.bert', 2)}.crossattention.output.dense`,
  ],
] as const;

describe.each(ATTENTIONS)('%s', (prefix, outHook, module) => {
  test('without one head', async () => {
    const z = golden.get(`case0/clean/${prefix}.hook_z`);
    const [positions, heads, size] = z.shape as [number, number, number];
    const weight = weights.get(`${module}.weight`) as Float32Array;
    const bias = weights.get(`${module}.bias`) as Float32Array;
    const width = heads * size;
    for (let head = 0; head < heads; head += 2) {
      const { cache } = await runWithCache(model, [golden.sample('case0', 'clean')], {
        names: outHook,
        stopAfter: outHook,
        interventions: [zero({ hook: `${prefix}.hook_z`, heads: [head] })],
      });
      const expected = Float64Array.from({ length: positions * width }, (_, i) => {
        const [p, out] = [Math.floor(i / width), i % width];
        let sum = bias[out] as number;
        for (let c = 0; c < width; c++)
          if (Math.floor(c / size) !== head) sum += weight[out * width + c]! * z.data[p * width + c]!;
        return sum;
      });
      expectClose(await cache.read(outHook), expected, { ofMax: GOLDEN, shape: [positions, width] });
      cache.release();
    }
  });

  /** Scores, pattern and z with what they are made of, of two prompts, after some interventions. */
  async function attentionAfter(interventions: readonly Intervention[]) {
    const samples = [golden.sample('case0', 'clean'), golden.sample('case2', 'clean')];
    const { cache } = await runWithCache(model, samples, { names: `${prefix}.*`, interventions });
    const read = async (hook: string) => {
      const { shape, lengths, keys } = cache.get(`${prefix}.${hook}`);
      const activation = new HostActivation(
        `${prefix}.${hook}`,
        shape,
        await cache.read(`${prefix}.${hook}`),
      );
      return { activation, lengths, keys };
    };
    const found = {
      q: await read('hook_q'),
      k: await read('hook_k'),
      v: await read('hook_v'),
      scores: await read('hook_attn_scores'),
      pattern: await read('hook_pattern'),
      z: await read('hook_z'),
    };
    cache.release();
    return found;
  }

  type Attention = Awaited<ReturnType<typeof attentionAfter>>;

  function eachQuery({ scores }: Attention, visit: (b: number, q: number, h: number, keys: number) => void) {
    scores.lengths.forEach((length, b) => {
      for (let q = 0; q < length; q++)
        for (let h = 0; h < scores.activation.heads; h++) visit(b, q, h, scores.keys?.[b] as number);
    });
  }

  function row(x: HostActivation, b: number, p: number, h: number, count: number): number[] {
    const first = x.index(b, p, h, 0);
    return [...x.data.subarray(first, first + count)];
  }

  function checkScores(found: Attention) {
    const { q: queries, k, scores } = found;
    const { size } = queries.activation;
    eachQuery(found, (b, q, h, keys) => {
      const query = row(queries.activation, b, q, h, size);
      const expected = Array.from({ length: keys }, (_, j) => {
        const key = row(k.activation, b, j, h, size);
        return query.reduce((sum, x, i) => sum + x * key[i]!, 0) / Math.sqrt(size);
      });
      // Ten products in f32.
      expectClose(row(scores.activation, b, q, h, keys), expected, { atol: 1e-5, ofMax: 1e-6 });
    });
  }

  function checkPattern(found: Attention) {
    const { scores, pattern } = found;
    eachQuery(found, (b, q, h, keys) => {
      const s = row(scores.activation, b, q, h, keys);
      const largest = Math.max(...s);
      const total = s.reduce((sum, x) => sum + Math.exp(x - largest), 0);
      const expected = s.map((x) => Math.exp(x - largest) / total);
      // exp of f32 arguments: WGSL allows 3 + 2 |x| units in the last place.
      expectClose(row(pattern.activation, b, q, h, keys), expected, { rtol: 1e-5, atol: 1e-7 });
    });
  }

  function checkZ(found: Attention) {
    const { pattern, v, z } = found;
    const { size } = v.activation;
    eachQuery(found, (b, q, h, keys) => {
      const p = row(pattern.activation, b, q, h, keys);
      const expected = Array.from({ length: size }, (_, d) =>
        p.reduce((sum, x, j) => sum + x * row(v.activation, b, j, h, size)[d]!, 0),
      );
      expectClose(row(z.activation, b, q, h, size), expected, { atol: 1e-5, ofMax: 1e-5 });
    });
  }

  test('edits of queries, keys and values reach scores, pattern and z', async () => {
    const plain = await attentionAfter([]);
    const random = new Random(3);
    const hook = (name: string) => ({ hook: `${prefix}.hook_${name}`, run: 0 });
    const size = plain.q.activation.size;
    const found = await attentionAfter([
      scale({ ...hook('q'), heads: [1] }, 3),
      add({ ...hook('k'), positions: [0], heads: [0, 1] }, { values: random.vector(2 * size) }),
      zero({ ...hook('k'), positions: [Math.min(5, plain.k.lengths[0]! - 1)], heads: [3] }),
      interpolate({ ...hook('v'), positions: [0] }, { run: 0 }, 0.5),
      scale({ ...hook('v'), features: [2, 4] }, -2),
    ]);
    checkScores(found);
    checkPattern(found);
    checkZ(found);
    expect(found.scores.activation.row(0)).not.toEqual(plain.scores.activation.row(0));
    expect(found.z.activation.row(0)).not.toEqual(plain.z.activation.row(0));
    for (const part of ['scores', 'pattern', 'z'] as const)
      expect(found[part].activation.row(1)).toEqual(plain[part].activation.row(1));
  });

  test('edits of scores reach pattern and z', async () => {
    const plain = await attentionAfter([]);
    const keys = plain.scores.keys?.[0] as number;
    const found = await attentionAfter([
      add(
        { hook: `${prefix}.hook_attn_scores`, run: 0, heads: [1, 3] },
        { values: new Random(4).vector(2 * keys) },
      ),
    ]);
    expect(found.scores.activation.row(0)).not.toEqual(plain.scores.activation.row(0));
    checkPattern(found);
    checkZ(found);
  });

  test('edits of the pattern reach z', async () => {
    const plain = await attentionAfter([]);
    const keys = plain.scores.keys?.[0] as number;
    const found = await attentionAfter([
      // Attention to one key cut, as in path patching.
      zero({ hook: `${prefix}.hook_pattern`, run: 0, heads: [2], features: [keys - 1, keys] }),
      scale({ hook: `${prefix}.hook_pattern`, run: 0, heads: [0] }, 0.5),
    ]);
    checkZ(found);
    expect(found.z.activation.row(0)).not.toEqual(plain.z.activation.row(0));
  });
});
