// BLIP for visual question answering: ViT, image-grounded text encoder, answer decoder. Behaviour is that of
// transformers' BlipForQuestionAnswering.

import { NoticeError } from '../../errors.ts';
import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { embedTokens, matmul, normalize } from '../../kernels/index.ts';
import type { ModelFiles } from '../family.ts';
import { generateAnswers } from '../generation.ts';
import type { HookInfo } from '../hook-table.ts';
import type { FeatureGrid, ImageInput } from '../image-input.ts';
import {
  type ForwardOptions,
  type Generated,
  type GenerateOptions,
  type ImageFeatures,
  type Logits,
  ModelRun,
  type Sample,
  type VisionLanguageModel,
} from '../model.ts';
import { type LivePosition, tokenRuns, towerRun, towerRuns } from '../sequences.ts';
import {
  type KeyValueCache,
  type Memory,
  NO_PROBE,
  type Probe,
  passPoint,
  Run,
  Tower,
  type TowerConfig,
  type Walk,
} from '../tower/index.ts';
import { blankSquare, embedImages, oneImage, reusable, squareGrid, visionRuns } from '../vision.ts';
import { type BlipConfig, parseBlipConfig } from './config.ts';
import { blipHooks } from './hooks.ts';
import { type BlipWeights, loadBlipWeights, type TextWeights } from './weights.ts';

/** The question as it is. */
const BLIP_TEMPLATES = { question: '{question}' };

/** Image features with the keys and values that the text encoder makes of them. */
interface BlipFeatures extends ImageFeatures {
  readonly memory: Memory;
  readonly runs: ReadonlyMap<ImageInput, Run>;
}

/** @throws NoticeError('config'), WeightsError */
export async function loadBlip({ gpu, config: json, checkpoint, loader }: ModelFiles): Promise<Blip> {
  const config = parseBlipConfig(json);
  const weights = await loadBlipWeights(loader, checkpoint, config);
  return new Blip(gpu, config, weights, loader.bytes, () => loader.destroy());
}

export class Blip implements VisionLanguageModel {
  readonly family = 'blip';
  readonly answers = 'decoder';
  readonly towers = ['vision', 'text_encoder', 'text_decoder'];
  readonly promptTower = 'text_encoder';
  readonly promptEmbedding = 'text_encoder.hook_embed';
  readonly imageEmbedding = 'vision.hook_embed';
  readonly imageAttention = 'text_encoder.cross_attn';
  readonly templates = BLIP_TEMPLATES;
  readonly promptOutput: string;
  readonly gpu: Gpu;
  readonly config: BlipConfig;
  readonly hooks: readonly HookInfo[];
  readonly weightBytes: number;
  readonly #weights: BlipWeights;
  readonly #vision: Tower;
  readonly #textEncoder: Tower;
  readonly #textDecoder: Tower;
  readonly #release: () => void;

  /** `release` frees the weights. */
  constructor(gpu: Gpu, config: BlipConfig, weights: BlipWeights, weightBytes: number, release: () => void) {
    this.gpu = gpu;
    this.config = config;
    this.weightBytes = weightBytes;
    this.hooks = blipHooks(config);
    this.promptOutput = `text_encoder.blocks.${config.textEncoder.layers - 1}.hook_normalized_resid_post`;
    this.#weights = weights;
    this.#vision = new Tower(config.vision, weights.vision);
    this.#textEncoder = new Tower(config.textEncoder, weights.textEncoder.blocks);
    this.#textDecoder = new Tower(config.textDecoder, weights.textDecoder.blocks);
    this.#release = release;
  }

  get configs(): readonly TowerConfig[] {
    return [this.config.vision, this.config.textEncoder, this.config.textDecoder];
  }

  get vocabulary(): number {
    return this.config.vocabulary;
  }

  imagePositions(): number {
    return this.#weights.positions.rows;
  }

  featureCount(): number {
    return this.imagePositions();
  }

  featureGrids(): readonly FeatureGrid[] {
    return [squareGrid(this.config.imageSize, this.config.patchSize, 1)];
  }

  blankImage(): ImageInput {
    return blankSquare(this.config.imageSize);
  }

  expand(ids: readonly number[], images?: readonly ImageInput[]) {
    if (images) oneImage(images);
    const { maxPositions } = this.config;
    if (ids.length > maxPositions)
      throw new NoticeError(
        'text',
        `the prompt has ${ids.length} tokens, this model reads at most ${maxPositions}`,
      );
    return { ids, positions: ids.map((_, p) => p) };
  }

  async encodeImages(w: Work, images: readonly ImageInput[]): Promise<BlipFeatures> {
    const runs = images.map((image) => new ModelRun({ images: [image], ids: [] }));
    const { tensor } = await this.#see(w, runs, NO_PROBE);
    const keyValues = new Map(
      this.#textEncoder.blocks.flatMap(({ cross }, layer) => {
        if (!cross) return [];
        const { weight, bias } = cross.keyValue;
        return [[layer, matmul(w, tensor, weight, { bias })]];
      }),
    );
    const tensors = [tensor, ...keyValues.values()];
    return {
      images,
      tensors,
      memory: { tensor, keyValues },
      runs: new Map(runs.map((run) => [oneImage(run.sample.images), towerRun(run, 'vision')])),
    };
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const image = await this.#imageMemory(w, runs, probe, features as BlipFeatures | undefined);
    const question = await this.#read(w, runs, image, probe);
    const start = this.config.startToken;
    const decoders = runs.map((run) => {
      const memory = towerRun(run, 'text_encoder');
      const decoder = new Run(1, { base: run.base && towerRun(run.base, 'text_decoder'), memory });
      run.towers.set('text_decoder', decoder);
      return decoder;
    });
    const rows: LivePosition[] = [];
    for (const decoder of decoders) {
      if (decoder.base) continue;
      decoder.rows[0] = rows.length;
      rows.push({ id: start, place: 0 });
    }
    const tensor = await this.#answer(w, runs, decoders, rows, question, probe);
    return { tensor, rowOf: (run) => towerRun(run, 'logits').row(0) };
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { endToken, maxPositions, startToken, textDecoder } = this.config;
    return generateAnswers(this.gpu, samples, options, {
      config: textDecoder,
      stopTokens: [endToken],
      maxPositions,
      promptLength: () => 1, // the decoder begins with a token of its own
      start: async (w, runs, probe, cache) => {
        const read = await this.#read(w, runs, await this.#see(w, runs, probe), probe);
        // Every step attends to the same keys and values.
        const question: Memory = { ...read, keyValues: new Map() };
        const step = (tokens: readonly number[]) => {
          const decoders = runs.map((run) => towerRun(run, 'text_decoder'));
          const rows = tokens.map((id, i) => ({ id, place: (decoders[i] as Run).length - 1 }));
          return this.#answer(w, runs, decoders, rows, question, probe, cache);
        };
        runs.forEach((run, i) => {
          const decoder = new Run(1, { memory: towerRun(run, 'text_encoder') });
          decoder.rows[0] = i;
          run.towers.set('text_decoder', decoder);
        });
        return { logits: await step(runs.map(() => startToken)), next: step };
      },
    });
  }

  destroy(): void {
    this.#release();
  }

  async #imageMemory(
    w: Work,
    runs: readonly ModelRun[],
    probe: Probe,
    features: BlipFeatures | undefined,
  ): Promise<Memory> {
    if (!features || !reusable(features, ['vision'], runs, probe, this.hooks))
      return this.#see(w, runs, probe);
    for (const run of runs) run.towers.set('vision', features.runs.get(oneImage(run.sample.images)) as Run);
    return features.memory;
  }

  /** Images to what the text encoder attends to. */
  async #see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Memory> {
    const { config } = this;
    const weights = this.#weights;
    const images = visionRuns(runs, weights.positions.rows);
    const embedding = { ...weights, imageSize: config.imageSize, patchSize: config.patchSize };
    const frame = { x: embedImages(w, images, embedding) };
    const walk: Walk = { w, probe, runs: towerRuns(runs, 'vision') };
    await passPoint(walk, 'vision.hook_embed', frame, 'x');
    frame.x = await this.#vision.walk(walk, frame.x);
    const out = { x: normalize(w, frame.x, weights.visionNorm) };
    w.release(frame.x);
    await passPoint(walk, 'vision.hook_out', out, 'x');
    return { tensor: out.x, keyValues: undefined };
  }

  /** Questions, grounded in the images, to what the decoder attends to. */
  async #read(w: Work, runs: readonly ModelRun[], memory: Memory, probe: Probe): Promise<Memory> {
    const rows = tokenRuns(runs, 'text_encoder', (run) => towerRun(run, 'vision'));
    const walk: Walk = { w, probe, runs: towerRuns(runs, 'text_encoder'), memory };
    const tensor = await this.#text(this.#textEncoder, this.#weights.textEncoder, walk, rows);
    return { tensor, keyValues: undefined };
  }

  /** Decoder rows to logits of their last positions. */
  async #answer(
    w: Work,
    runs: readonly ModelRun[],
    decoders: readonly Run[],
    rows: readonly LivePosition[],
    memory: Memory,
    probe: Probe,
    cache?: KeyValueCache,
  ): Promise<Tensor> {
    const { headTransform, headNorm, head } = this.#weights;
    const walk: Walk = { w, probe, runs: decoders, memory, cache };
    const x = await this.#text(this.#textDecoder, this.#weights.textDecoder, walk, rows);
    const dense = matmul(w, x, headTransform.weight, {
      bias: headTransform.bias,
      activation: this.config.textDecoder.activation,
    });
    const transformed = { x: normalize(w, dense, headNorm) };
    w.release(x, dense);
    await passPoint(walk, 'text_decoder.hook_head_transform', transformed, 'x');
    const logits = { x: matmul(w, transformed.x, head.weight, { bias: head.bias }) };
    w.release(transformed.x);
    runs.forEach((run, i) => {
      const decoder = decoders[i] as Run;
      const last = new Run(1, { base: run.base && towerRun(run.base, 'logits') });
      last.rows[0] = decoder.rows[decoder.length - 1] as number;
      run.towers.set('logits', last);
    });
    await passPoint(walk, 'logits', logits, 'x');
    return logits.x;
  }

  async #text(
    tower: Tower,
    { tokens, positions, norm }: TextWeights,
    walk: Walk,
    rows: readonly LivePosition[],
  ): Promise<Tensor> {
    const { w } = walk;
    const ids = rows.map(({ id }) => id);
    const places = rows.map(({ place }) => place);
    const sum = embedTokens(w, ids, tokens, places, positions);
    const frame = { x: normalize(w, sum, norm) };
    w.release(sum);
    await passPoint(walk, `${tower.config.name}.hook_embed`, frame, 'x');
    return tower.walk(walk, frame.x);
  }
}
