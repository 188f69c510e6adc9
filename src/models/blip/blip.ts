// BLIP for visual question answering: ViT, image-grounded text encoder, answer decoder. Behaviour is that of
// transformers' BlipForQuestionAnswering.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { embedTokens, normalize } from '../../kernels/index.ts';
import type { ModelFiles } from '../family.ts';
import { generateAnswers } from '../generation.ts';
import { type Answerer, headInput, headLogits } from '../head.ts';
import type { ForwardOptions, Generated, GenerateOptions, Logits, ModelRun } from '../model.ts';
import type { BertWeights } from '../parts/bert.ts';
import { patchSide, walkVit } from '../parts/vit.ts';
import type { SampleInput } from '../sample.ts';
import { checkLength, type LivePosition, sequenceIn, sequencesIn, tokenRuns } from '../sequences.ts';
import { TiledImageModel } from '../tiled-image-model.ts';
import {
  type KeyValueCache,
  type Memory,
  NO_PROBE,
  type Probe,
  passPoint,
  Sequence,
  Tower,
  type Walk,
} from '../tower/index.ts';
import { type BlipConfig, parseBlipConfig } from './config.ts';
import { blipHooks } from './hooks.ts';
import { type BlipWeights, loadBlipWeights } from './weights.ts';

/** @throws NoticeError('config'), WeightsError */
export async function loadBlip({ gpu, config: json, checkpoint, loader }: ModelFiles): Promise<Blip> {
  const config = parseBlipConfig(json);
  const weights = await loadBlipWeights(loader, checkpoint, config);
  return new Blip(gpu, config, weights, loader.bytes, () => loader.destroy());
}

export class Blip extends TiledImageModel {
  readonly family = 'blip';
  readonly answers = 'decoder';
  readonly towers = ['vision', 'text_encoder', 'text_decoder'];
  readonly imageAttention = 'text_encoder.cross_attn';
  readonly templates = { question: '{question}' };
  readonly config: BlipConfig;
  readonly answerer: Answerer;
  readonly #weights: BlipWeights;
  readonly #vision: Tower;
  readonly #textEncoder: Tower;
  readonly #textDecoder: Tower;

  /** `release` frees the weights. */
  constructor(gpu: Gpu, config: BlipConfig, weights: BlipWeights, weightBytes: number, release: () => void) {
    const { vision, encoder, decoder } = config;
    const prompt = new Tower(encoder.tower, weights.encoder.blocks);
    super({
      gpu,
      hooks: blipHooks(config),
      configs: [vision.tower, encoder.tower, decoder.tower],
      vision,
      imageTowers: ['vision'],
      tileFeatures: { side: patchSide(vision), first: 1 },
      maxImages: 1,
      prompt,
      vocabulary: decoder.vocabulary,
      maxPositions: encoder.maxPositions,
      weightBytes,
      release,
    });
    this.config = config;
    this.#weights = weights;
    this.answerer = {
      blocks: weights.decoder.blocks,
      head: {
        transform: { dense: weights.headTransform, activation: decoder.tower.activation },
        norm: weights.headNorm,
        output: weights.head,
      },
    };
    this.#vision = new Tower(vision.tower, weights.vision.blocks);
    this.#textEncoder = prompt;
    this.#textDecoder = new Tower(decoder.tower, weights.decoder.blocks);
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features, answer = [] }: ForwardOptions = {},
  ): Promise<Logits> {
    const image = await this.features(w, runs, probe, features);
    const question = await this.#read(w, runs, image.memory, probe);
    const ids = [this.config.startToken, ...answer.slice(0, -1)];
    checkLength(ids.length, this.config.decoder.maxPositions);
    const decoders = runs.map((run) => {
      const memory = sequenceIn(run, 'text_encoder');
      const decoder = new Sequence(ids.length, {
        base: run.base && sequenceIn(run.base, 'text_decoder'),
        memory,
      });
      run.towers.set('text_decoder', decoder);
      return decoder;
    });
    const rows: LivePosition[] = [];
    for (const decoder of decoders) {
      if (decoder.base) continue;
      for (const [place, id] of ids.entries()) decoder.rows[place] = rows.push({ id, place }) - 1;
    }
    const tensor = await this.#answer(w, runs, decoders, rows, question, probe);
    return { tensor, rowOf: (run, token = 0) => sequenceIn(run, 'logits').row(token) };
  }

  generate(samples: readonly SampleInput[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { endToken, startToken, decoder } = this.config;
    return generateAnswers(this.gpu, samples, options, {
      config: decoder.tower,
      stopTokens: [endToken],
      maxPositions: decoder.maxPositions,
      promptLength: () => 1, // the decoder begins with a token of its own
      start: async (w, runs, probe, cache) => {
        const { memory } = await this.features(w, runs, probe);
        const read = await this.#read(w, runs, memory, probe);
        // Every step attends to the same keys and values.
        const question: Memory = { ...read, keyValues: new Map() };
        const step = (tokens: readonly number[]) => {
          const decoders = runs.map((run) => sequenceIn(run, 'text_decoder'));
          const rows = tokens.map((id, i) => ({ id, place: (decoders[i] as Sequence).length - 1 }));
          return this.#answer(w, runs, decoders, rows, question, probe, cache);
        };
        runs.forEach((run, i) => {
          const decoder = new Sequence(1, { memory: sequenceIn(run, 'text_encoder') });
          decoder.rows[0] = i;
          run.towers.set('text_decoder', decoder);
        });
        return { logits: await step(runs.map(() => startToken)), next: step };
      },
    });
  }

  protected see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    return walkVit(w, this.#vision, this.config.vision, this.#weights.vision, runs, probe);
  }

  /** Questions, grounded in the images, to what the decoder attends to. */
  async #read(w: Work, runs: readonly ModelRun[], memory: Memory, probe: Probe): Promise<Memory> {
    const rows = tokenRuns(runs, 'text_encoder', (run) => sequenceIn(run, 'vision'));
    const walk: Walk = { w, probe, runs: sequencesIn(runs, 'text_encoder'), memory };
    const tensor = await this.#text(this.#textEncoder, this.#weights.encoder, walk, rows);
    return { tensor, keyValues: undefined };
  }

  /** Decoder rows to their logits. */
  async #answer(
    w: Work,
    runs: readonly ModelRun[],
    decoders: readonly Sequence[],
    rows: readonly LivePosition[],
    memory: Memory,
    probe: Probe,
    cache?: KeyValueCache,
  ): Promise<Tensor> {
    const { head } = this.answerer;
    const walk: Walk = { w, probe, runs: decoders, memory, cache };
    const x = await this.#text(this.#textDecoder, this.#weights.decoder, walk, rows);
    const transformed = { x: headInput(w, head, x) };
    w.release(x);
    await passPoint(walk, 'text_decoder.hook_head_transform', transformed, 'x');
    const logits = { x: headLogits(w, head, transformed.x) };
    w.release(transformed.x);
    runs.forEach((run, i) => {
      const { rows: own, length } = decoders[i] as Sequence;
      // With a cache only the newest position has a row.
      const positions = cache ? own.subarray(length - 1) : own;
      const answered = new Sequence(positions.length, { base: run.base && sequenceIn(run.base, 'logits') });
      answered.rows.set(positions);
      run.towers.set('logits', answered);
    });
    await passPoint(walk, 'logits', logits, 'x');
    return logits.x;
  }

  async #text(
    tower: Tower,
    { tokens, positions, norm }: BertWeights,
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
