// Every norm has the eps of its own tower. Files give text and vision values so small that no activation shows which one
// was taken, so here each tower gets one that shows.

import { beforeAll, describe, expect, test } from 'vitest';
import { loadModel } from '../../src/models/index.ts';
import { runWithCache } from '../../src/patching/index.ts';
import { fileSource, nodeFolder } from '../../src/platform/node/index.ts';
import { asFloat32, readJson, readTensors } from '../../src/weights/index.ts';
import { embedTokens, flatten, layerNorm, linear, type Matrix, toRows } from '../reference/index.ts';
import { expectClose } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, GOLDEN, Golden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

const EPS = { vision: 0.125, text: 0.5 };
const WIDTH = 40;
const START = 185;

const activations = new Map<string, Matrix>();
let weights: Map<string, Float32Array>;
let ids: readonly number[];
beforeAll(async () => {
  const folder = nodeFolder(fixture('blip-tiny'));
  const config = (await readJson(folder, 'config.json')) as Record<string, object>;
  const changed = {
    ...config,
    text_config: { ...config.text_config, layer_norm_eps: EPS.text },
    vision_config: { ...config.vision_config, layer_norm_eps: EPS.vision },
  };
  const model = await loadModel(await testGpu(), folderWith({ 'config.json': changed }, folder));
  const sample = (await Golden.open('blip-tiny')).sample('case0', 'clean');
  ids = sample.ids;
  const { cache } = await runWithCache(model, [sample]);
  for (const name of cache.names) {
    const values = await cache.read(name);
    if (values.length % WIDTH === 0) activations.set(name, toRows(values, WIDTH));
  }
  cache.release();
  model.destroy();
  const file = await fileSource(fixture('blip-tiny/model.safetensors'));
  weights = new Map([...(await readTensors(file))].map(([name, tensor]) => [name, asFloat32(tensor, name)]));
  await file.close();
});

const activation = (name: string) => activations.get(name) ?? expect.unreachable(`no ${name}`);
const vector = (name: string) => weights.get(name) ?? expect.unreachable(`no ${name}`);
const matrix = (name: string) => toRows(vector(name), WIDTH);

/** What a hook point shows is the norm of some rows. */
function expectNorm(name: string, module: string, rows: Matrix, eps: number): void {
  const expected = layerNorm(rows, vector(`${module}.weight`), vector(`${module}.bias`), eps);
  expectClose(flatten(activation(name)), flatten(expected), { ofMax: GOLDEN, name });
}

test('the norms of the vision tower', () => {
  const { vision } = EPS;
  expectNorm(
    'vision.hook_out',
    'vision_model.post_layernorm',
    activation('vision.blocks.2.hook_resid_post'),
    vision,
  );
  // The norm before a block's attention is no hook point; the block's queries are made of it.
  const block = 'vision_model.encoder.layers.1';
  const norm = `${block}.layer_norm1`;
  const before = activation('vision.blocks.1.hook_resid_pre');
  const rows = layerNorm(before, vector(`${norm}.weight`), vector(`${norm}.bias`), vision);
  const expected = linear(rows, matrix(`${block}.self_attn.qkv.weight`).slice(0, WIDTH), {
    bias: vector(`${block}.self_attn.qkv.bias`),
  });
  expectClose(flatten(activation('vision.blocks.1.attn.hook_q')), flatten(expected), { ofMax: GOLDEN });
});

describe.each([
  ['text_encoder', 'text_encoder'],
  ['text_decoder', 'text_decoder.bert'],
])('%s', (tower, path) => {
  test('the norm of the embeddings', () => {
    const embeddings = `${path}.embeddings`;
    const tokens = matrix(`${embeddings}.word_embeddings.weight`);
    const positions = matrix(`${embeddings}.position_embeddings.weight`);
    const read = tower === 'text_decoder' ? [START] : ids;
    const sums = embedTokens(read, tokens, [...read.keys()], positions);
    expectNorm(`${tower}.hook_embed`, `${embeddings}.LayerNorm`, sums, EPS.text);
  });

  test.each([
    ['resid_mid', 'attention.output.LayerNorm'],
    ['resid_cross', 'crossattention.output.LayerNorm'],
    ['resid_post', 'output.LayerNorm'],
  ])('the norm of %s', (point, module) => {
    const block = `${tower}.blocks.1.hook_`;
    const rows = activation(block + point);
    expectNorm(`${block}normalized_${point}`, `${path}.encoder.layer.1.${module}`, rows, EPS.text);
  });
});

test('the norm before the answer', () => {
  const transform = 'text_decoder.cls.predictions.transform';
  const rows = linear(
    activation('text_decoder.blocks.2.hook_normalized_resid_post'),
    matrix(`${transform}.dense.weight`),
    {
      bias: vector(`${transform}.dense.bias`),
      activation: 'gelu',
    },
  );
  expectNorm('text_decoder.hook_head_transform', `${transform}.LayerNorm`, rows, EPS.text);
});
