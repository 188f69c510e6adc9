// An architecture that does not exist, added as docs/adding-a-model.md says, and checked against plain f64 arithmetic.
//
// "Fresco" is what neither BLIP nor LLaVA is: a ViT whose output a LLaMA-like decoder attends to in every block
// (RMSNorm, rotary embedding, grouped key-value heads, SwiGLU, cross-attention, a head tied to the embeddings).
import { beforeAll, describe, expect, test } from 'vitest';
import type { Gpu, Tensor } from '../../src/gpu/index.ts';
import type { PixelValues } from '../../src/inputs/index.ts';
import {
  embedTokens,
  gatherRows,
  matmul,
  type NormWeights,
  normalize,
  type Vector,
  type Weight,
} from '../../src/kernels/index.ts';
import type { ModelFiles } from '../../src/models/family.ts';
import { continuePrompts } from '../../src/models/generation.ts';
import { blockHooks, type HookInfo } from '../../src/models/hook-table.ts';
import {
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  loadModel,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from '../../src/models/index.ts';
import { JsonConfig } from '../../src/models/json-config.ts';
import {
  checkLength,
  lastPositions,
  placesOf,
  tokenRuns,
  towerRun,
  towerRuns,
} from '../../src/models/sequences.ts';
import {
  type BlockWeights,
  type KeyValueCache,
  type Linear,
  type Memory,
  NO_PROBE,
  type Probe,
  passPoint,
  type Run,
  rotaryAngles,
  Tower,
  type TowerConfig,
} from '../../src/models/tower/index.ts';
import { embedImages, reusable, visionRuns } from '../../src/models/vision.ts';
import { blocks, layerNorm, linear, rmsNorm } from '../../src/models/weight-maps.ts';
import { runWithCache, type SweepSite, sweep } from '../../src/patching/index.ts';
import { type HostTensor, type WeightLoader, writeSafetensors } from '../../src/weights/index.ts';
import * as reference from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { folderWith } from '../support/folder.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';

// --- Step 1: config.json ---------------------------------------------------------------------------------------------

interface FrescoConfig {
  readonly vision: TowerConfig;
  readonly language: TowerConfig;
  readonly imageSize: number;
  readonly patchSize: number;
  readonly eps: number;
  readonly vocabulary: number;
  readonly maxPositions: number;
  readonly stopTokens: readonly number[];
}

function parseFrescoConfig(json: unknown): FrescoConfig {
  const config = new JsonConfig(json, 'config.json');
  const vision = config.section('vision_config');
  const text = config.section('text_config');
  return {
    vision: {
      ...sizes(vision),
      name: 'vision',
      activation: 'gelu',
      norm: 'before',
      causal: false,
      crossAttention: false,
      gated: false,
      rotary: undefined,
    },
    language: {
      ...sizes(text),
      name: 'language',
      activation: 'silu',
      norm: 'before',
      causal: true,
      crossAttention: true,
      gated: true,
      rotary: { theta: text.number('rope_theta', 10000) },
    },
    imageSize: vision.size('image_size'),
    patchSize: vision.size('patch_size'),
    eps: config.number('eps', 1e-5),
    vocabulary: text.size('vocab_size'),
    maxPositions: text.size('max_position_embeddings', 64),
    stopTokens: config.integers('eos_token_id', [2]),
  };
}

function sizes(section: JsonConfig) {
  const heads = section.size('heads');
  return {
    layers: section.size('layers'),
    width: section.size('width'),
    heads,
    keyHeads: section.size('key_heads', heads),
    headSize: section.size('head_size'),
    mlpWidth: section.size('mlp_width'),
  };
}

// --- Step 2: weights -------------------------------------------------------------------------------------------------

interface FrescoWeights {
  readonly patches: Linear;
  readonly classToken: Vector;
  readonly positions: Weight;
  readonly vision: readonly BlockWeights[];
  readonly visionNorm: NormWeights;
  readonly tokens: Weight;
  readonly language: readonly BlockWeights[];
  readonly norm: NormWeights;
}

async function loadWeights(loader: WeightLoader, config: FrescoConfig): Promise<FrescoWeights> {
  const { vision, language, imageSize, patchSize, eps, vocabulary } = config;
  return {
    patches: await linear(loader, 'vision.patches', vision.width, 3 * patchSize ** 2),
    classToken: await loader.vector('vision.class', vision.width),
    positions: await loader.matrix('vision.positions', {
      rows: (imageSize / patchSize) ** 2 + 1,
      columns: vision.width,
    }),
    vision: await blocks(vision, (layer) => visionBlock(loader, config, `vision.layers.${layer}`)),
    visionNorm: await layerNorm(loader, 'vision.norm', vision.width, eps),
    tokens: await loader.matrix('decoder.tokens', { rows: vocabulary, columns: language.width }),
    language: await blocks(language, (layer) => decoderBlock(loader, config, `decoder.layers.${layer}`)),
    norm: await rmsNorm(loader, 'decoder.norm', language.width, eps),
  };
}

async function visionBlock(loader: WeightLoader, config: FrescoConfig, path: string): Promise<BlockWeights> {
  const { width, mlpWidth } = config.vision;
  const { eps } = config;
  return {
    attention: {
      queryKeyValue: await linear(loader, `${path}.qkv`, 3 * width, width),
      output: await linear(loader, `${path}.out`, width, width),
      norm: await layerNorm(loader, `${path}.norm1`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${path}.fc1`, mlpWidth, width),
      output: await linear(loader, `${path}.fc2`, width, mlpWidth),
      norm: await layerNorm(loader, `${path}.norm2`, width, eps),
    },
  };
}

async function decoderBlock(loader: WeightLoader, config: FrescoConfig, path: string): Promise<BlockWeights> {
  const { width, mlpWidth, heads, keyHeads, headSize } = config.language;
  const { eps } = config;
  const bias = { bias: false };
  const [queries, keys] = [heads * headSize, keyHeads * headSize];
  const [self, cross] = [`${path}.self`, `${path}.cross`];
  return {
    attention: {
      queryKeyValue: await linear(
        loader,
        [`${self}.q`, `${self}.k`, `${self}.v`],
        queries + 2 * keys,
        width,
        bias,
      ),
      output: await linear(loader, `${self}.o`, width, queries, bias),
      norm: await rmsNorm(loader, `${path}.norm1`, width, eps),
    },
    cross: {
      query: await linear(loader, `${cross}.q`, queries, width, bias),
      keyValue: await linear(loader, [`${cross}.k`, `${cross}.v`], 2 * keys, config.vision.width, bias),
      output: await linear(loader, `${cross}.o`, width, queries, bias),
      norm: await rmsNorm(loader, `${path}.norm2`, width, eps),
    },
    mlp: {
      input: await linear(loader, `${path}.gate`, mlpWidth, width, bias),
      linear: await linear(loader, `${path}.up`, mlpWidth, width, bias),
      output: await linear(loader, `${path}.down`, width, mlpWidth, bias),
      norm: await rmsNorm(loader, `${path}.norm3`, width, eps),
    },
  };
}

// --- Step 3: hook points ---------------------------------------------------------------------------------------------

function frescoHooks({ vision, language, vocabulary }: FrescoConfig): HookInfo[] {
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

// --- Step 4: the model -----------------------------------------------------------------------------------------------

interface FrescoFeatures extends ImageFeatures {
  readonly memory: Memory;
  readonly runs: ReadonlyMap<PixelValues, Run>;
}

class Fresco implements VisionLanguageModel {
  readonly family = 'llava';
  readonly towers = ['vision', 'language'];
  readonly promptTower = 'language';
  readonly promptEmbedding = 'language.hook_embed';
  readonly promptOutput: string;
  readonly gpu: Gpu;
  readonly config: FrescoConfig;
  readonly hooks: readonly HookInfo[];
  readonly weightBytes: number;
  readonly #weights: FrescoWeights;
  readonly #vision: Tower;
  readonly #language: Tower;
  readonly #angles: GPUBuffer;
  readonly #release: () => void;

  constructor(
    gpu: Gpu,
    config: FrescoConfig,
    weights: FrescoWeights,
    weightBytes: number,
    release: () => void,
  ) {
    this.gpu = gpu;
    this.config = config;
    this.hooks = frescoHooks(config);
    this.promptOutput = `language.blocks.${config.language.layers - 1}.hook_resid_post`;
    this.#weights = weights;
    this.#vision = new Tower(gpu, config.vision, weights.vision);
    this.#language = new Tower(gpu, config.language, weights.language);
    this.#angles = rotaryAngles(gpu, config.language, config.maxPositions);
    this.weightBytes = weightBytes + this.#angles.size;
    this.#release = release;
  }

  get configs(): readonly TowerConfig[] {
    return [this.config.vision, this.config.language];
  }

  get vocabulary(): number {
    return this.config.vocabulary;
  }

  get imagePositions(): number {
    return this.#weights.positions.rows;
  }

  expand(ids: readonly number[]) {
    checkLength(ids.length, this.config.maxPositions);
    return { ids, positions: ids.map((_, p) => p) };
  }

  async encodeImages(images: readonly PixelValues[]): Promise<FrescoFeatures> {
    const runs = images.map((image) => new ModelRun({ image, ids: [] }));
    return this.gpu.scope(async (keep) => {
      const tensor = await this.#see(runs, NO_PROBE);
      keep(tensor);
      return {
        images,
        memory: { tensor, keyValues: undefined },
        runs: new Map(runs.map((run) => [run.sample.image, towerRun(run, 'vision')])),
        release: () => this.gpu.release(tensor),
      };
    });
  }

  async forward(
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const known = features as FrescoFeatures | undefined;
    const shared = known && reusable(known, ['vision'], runs, probe, this.hooks);
    if (shared) for (const run of runs) run.towers.set('vision', known.runs.get(run.sample.image) as Run);
    const memory: Memory = shared
      ? known.memory
      : { tensor: await this.#see(runs, probe), keyValues: undefined };
    const tensor = await this.#answer(runs, this.#embed(runs), memory, probe);
    return { tensor, rowOf: (run) => towerRun(run, 'logits').row(0) };
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    let memory: Memory;
    return continuePrompts(this.gpu, this.config.language, samples, options, {
      ...this.config,
      start: async (runs, probe, cache) => {
        memory = { tensor: await this.#see(runs, probe), keyValues: new Map() };
        return this.#answer(runs, this.#embed(runs), memory, probe, cache);
      },
      next: (runs, tokens, probe, cache) =>
        this.#answer(runs, embedTokens(this.gpu, tokens, this.#weights.tokens), memory, probe, cache),
    });
  }

  destroy(): void {
    this.#angles.destroy();
    this.#release();
  }

  async #see(runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { gpu, config } = this;
    const { patches, classToken, positions, visionNorm } = this.#weights;
    const { imageSize, patchSize } = config;
    const images = visionRuns(runs, positions.rows);
    const walk = { gpu, probe, runs: towerRuns(runs, 'vision') };
    const frame = { x: embedImages(gpu, images, { patches, classToken, positions, imageSize, patchSize }) };
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    frame.x = await this.#vision.walk(walk, frame.x);
    const out = { x: normalize(gpu, frame.x, visionNorm) };
    gpu.release(frame.x);
    await passPoint(walk, 'vision.hook_out', out, 'x');
    return out.x;
  }

  #embed(runs: readonly ModelRun[]): Tensor {
    const rows = tokenRuns(runs, 'language', (run) => towerRun(run, 'vision'));
    return embedTokens(
      this.gpu,
      rows.map(({ id }) => id),
      this.#weights.tokens,
    );
  }

  async #answer(
    runs: readonly ModelRun[],
    embedded: Tensor,
    memory: Memory,
    probe: Probe,
    cache?: KeyValueCache,
  ): Promise<Tensor> {
    const { gpu } = this;
    const { tokens, norm } = this.#weights;
    const places = placesOf(runs, 'language', this.config.maxPositions);
    const rotary = { table: this.#angles, places };
    const walk = { gpu, probe, runs: towerRuns(runs, 'language'), memory, cache, rotary };
    const frame = { x: embedded };
    await passPoint(walk, 'language.hook_embed', frame, 'x');
    const x = await this.#language.walk(walk, frame.x);
    const rows = lastPositions(runs, 'language');
    const last = gatherRows(gpu, x, rows, gpu.empty(rows.length, x.columns, 'last positions'));
    const normalized = normalize(gpu, last, norm);
    const logits = { x: matmul(gpu, normalized, tokens) };
    gpu.release(x, last, normalized);
    await passPoint(walk, 'logits', logits, 'x');
    return logits.x;
  }
}

// --- Step 5: loading -------------------------------------------------------------------------------------------------

async function loadFresco({ gpu, config: json, loader }: ModelFiles): Promise<Fresco> {
  const config = parseFrescoConfig(json);
  const weights = await loadWeights(loader, config);
  return new Fresco(gpu, config, weights, loader.bytes, () => loader.destroy());
}

// --- Step 6: checking ------------------------------------------------------------------------------------------------

const CONFIG = {
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
/** f32 against f64 through five blocks. */
const F32 = 1e-5;

const random = new Random(20);
const weights = new Map<string, { shape: number[]; data: Float32Array<ArrayBuffer> }>();

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

/** Fresco in f64: its activations by hook name. */
function computeInF64({ image, ids }: Sample): Map<string, ArrayLike<number>> {
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

  const pixels = reference.imagePatches([image.data], V.image_size, V.image_size, V.patch_size);
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
    const [q, k, v] = [0, 1, 2].map((i) => columns(qkv, i * V.width, V.width)) as [
      reference.Matrix,
      reference.Matrix,
      reference.Matrix,
    ];
    const heads = reference.attention(
      q,
      k,
      v,
      shape,
      all.map((query) => ({ query, keys: all })),
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
      positions.map((query) => ({ query, keys: range(query + 1) })),
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
      positions.map((query) => ({ query, keys: all })),
    );
    keep(
      `${hook}.cross_attn.hook_pattern`,
      range(L.heads).flatMap((h) => cross.map((results) => results[h]?.pattern ?? [])),
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

describe('Fresco', () => {
  let model: VisionLanguageModel;
  beforeAll(async () => {
    const tensors = new Map(
      [...weights].map(([name, tensor]): [string, HostTensor] => [name, { dtype: 'F32', ...tensor }]),
    );
    const folder = folderWith({ 'config.json': CONFIG, 'model.safetensors': writeSafetensors(tensors) });
    model = await loadModel(await testGpu(), folder, { families: { fresco: loadFresco } });
  });

  function sample(length: number): Sample {
    const image = { data: random.vector(3 * 16 * 16), height: 16, width: 16 };
    return { image, ids: Array.from({ length }, () => random.integer(L.vocab_size)) };
  }

  test('is what f64 arithmetic makes of its weights', async () => {
    const input = sample(7);
    const expected = computeInF64(input);
    const { cache } = await runWithCache(model, [input]);
    expect(cache.names).toEqual(model.hooks.map(({ name }) => name));
    expect(expected.size).toBe(2 + 1 + 3 * 8 + 1);
    for (const [name, values] of expected) expectClose(await cache.read(name), values, { ofMax: F32, name });
    cache.release();
  });

  test('writes what f64 arithmetic would write, in a batch of unequal lengths', async () => {
    const samples = [sample(3), sample(8)];
    const answers = await model.generate(samples, { maxNewTokens: 6, keepLogits: true });
    answers.forEach(({ ids, logits }, i) => {
      const { image, ids: prompt } = samples[i] as Sample;
      expect(logits.length).toBeGreaterThan(2);
      logits.forEach((row, step) => {
        const whole = computeInF64({ image, ids: [...prompt, ...ids.slice(0, step)] });
        expectClose(row, whole.get('logits') ?? [], { ofMax: F32, name: `step ${step}` });
      });
    });
  });

  test('a sweep is exact at every site', async () => {
    const clean = sample(6);
    const sites = model.hooks
      .filter(({ name }) => name.includes('.blocks.0.'))
      .map(({ name }): SweepSite => {
        const vision = name.startsWith('vision.');
        return {
          site: name.replace('.blocks.0', ''),
          layers: [1],
          positions: [vision ? 5 : 3, vision ? [0, 9] : [2, 5]],
        };
      });
    const text = { ...clean, ids: clean.ids.map((id, p) => (p === 2 ? (id + 1) % L.vocab_size : id)) };
    for (const corrupt of [{ ...sample(6), ids: clean.ids }, text]) {
      const job = { clean, corrupt, correct: 5, incorrect: 6, sites };
      const [wavefront] = await sweep(model, [job]);
      const [oneByOne] = await sweep(model, [job], { mode: 'one-by-one' });
      expect(wavefront?.controls).toMatchObject({ nullPatches: sites.length, fullRestoration: true });
      wavefront?.sites.forEach(({ site, data }, i) => {
        expectSameBits(oneByOne?.sites[i]?.data as Float32Array, data, { name: site });
        const effect = data.some((value, at) => at % 4 === 2 && value !== 0);
        // The same image gives the same activations of the vision tower and keys and values made of it.
        const sees = !site.startsWith('vision.') && !/cross_attn\.hook_[kv]$/.test(site);
        if (corrupt !== text || sees) expect(effect, site).toBe(true);
      });
    }
  });

  test('features of an earlier walk give the same bits', async () => {
    const input = sample(4);
    const features = await model.encodeImages([input.image]);
    const logits = (options: ForwardOptions) =>
      model.gpu.scope(async () => {
        const { tensor } = await model.forward([new ModelRun(input)], options);
        const [values] = await model.gpu.read(tensor);
        return values as Float32Array;
      });
    expectSameBits(await logits({ features }), await logits({}));
    features.release();
  });
});
