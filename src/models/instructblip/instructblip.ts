// InstructBLIP: a ViT, a Q-Former that looks at the image for what the instruction asks, and a LLaMA (Vicuna) that reads what
// its queries have found before the prompt. Behaviour is that of transformers' InstructBlipForConditionalGeneration.

import { NoticeError } from '../../errors.ts';
import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { matmul } from '../../kernels/index.ts';
import { generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import { embedPrompts, followingRuns } from '../feature-runs.ts';
import { generateAnswers } from '../generation.ts';
import type { ImageInput } from '../image-input.ts';
import type {
  ForwardOptions,
  Generated,
  GenerateOptions,
  ImageFeatures,
  Logits,
  ModelRun,
  Sample,
} from '../model.ts';
import { Llama, loadLlama } from '../parts/llama.ts';
import { BLIP_VIT, loadVit, patchSide, type VitWeights, walkVit } from '../parts/vit.ts';
import { checkLength, sequenceIn, sequencesIn } from '../sequences.ts';
import { TiledImageModel } from '../tiled-image-model.ts';
import { type Linear, NO_PROBE, type Probe, passPoint, Tower } from '../tower/index.ts';
import { linear, prefixOf } from '../weight-maps.ts';
import { type InstructBlipConfig, parseInstructBlipConfig } from './config.ts';
import { instructBlipHooks } from './hooks.ts';
import { loadQFormer, QFormer, QUERIES } from './qformer.ts';

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadInstructBlip(files: ModelFiles): Promise<InstructBlip> {
  const { gpu, source, checkpoint, loader } = files;
  const config = parseInstructBlipConfig(files.config, await generationConfig(source));
  const prefix = prefixOf(checkpoint, 'query_tokens');
  const width = config.vision.tower.width;
  const vision = await loadVit(loader, `${prefix}vision_model.`, config.vision, BLIP_VIT);
  const qformer = new QFormer(config.qformer, await loadQFormer(loader, prefix, config.qformer, width));
  const projection = await linear(
    loader,
    `${prefix}language_projection`,
    config.language.tower.width,
    config.qformer.tower.width,
  );
  const llama = await loadLlama(loader, checkpoint, config.language);
  const language = new Llama(config.language, llama);
  const stages = { vision, qformer, projection, language };
  return new InstructBlip(gpu, config, stages, loader.bytes, () => loader.destroy());
}

/** What it is made of. */
interface Stages {
  readonly vision: VitWeights;
  readonly qformer: QFormer;
  readonly projection: Linear;
  readonly language: Llama;
}

export class InstructBlip extends TiledImageModel {
  readonly family = 'instructblip';
  readonly answers = 'continuation';
  override readonly defaultTower = 'language';
  readonly towers = ['vision', 'qformer', 'projector', 'language'];
  readonly imageAttention = 'qformer.cross_attn';
  readonly instructionTokenizer = 'qformer_tokenizer';
  readonly templates = {
    question: '{question}',
    /** As the paper asks for answers of a word or two. */
    'short-answer': 'Question: {question} Short answer:',
  };
  override readonly imageToken: number;
  readonly config: InstructBlipConfig;
  readonly #stages: Stages;
  readonly #vision: Tower;

  /** `release` frees the weights. */
  constructor(
    gpu: Gpu,
    config: InstructBlipConfig,
    stages: Stages,
    weightBytes: number,
    release: () => void,
  ) {
    const { vision, qformer, language } = config;
    super({
      gpu,
      hooks: instructBlipHooks(config),
      configs: [vision.tower, qformer.tower, language.tower],
      vision,
      imageTowers: ['vision'],
      tileFeatures: { side: patchSide(vision), first: 1 },
      maxImages: 1,
      prompt: stages.language.tower,
      reader: stages.qformer.tower,
      vocabulary: language.vocabulary,
      maxPositions: language.maxPositions,
      weightBytes,
      release,
    });
    this.config = config;
    this.imageToken = config.imageToken;
    this.#stages = stages;
    this.#vision = new Tower(vision.tower, stages.vision.blocks);
  }

  /** Of the language model, which reads the queries. */
  override featureCount(): number {
    return this.config.qformer.tower.queries;
  }

  /** The queries stand before the prompt, `<s>` included. */
  override expand(ids: readonly number[], images?: readonly ImageInput[]) {
    if (images) this.checkCount(images);
    const found = ids.filter((id) => id === this.imageToken).length;
    const missing = this.featureCount() - found;
    if (found > 0 && missing !== 0)
      throw new NoticeError(
        'text',
        `the prompt holds the image token (id ${this.imageToken}) ${found} times; expected none, or ` +
          `${this.featureCount()}. The image stands before the prompt: leave <image> out.`,
      );
    const expanded = [...new Array<number>(missing).fill(this.imageToken), ...ids];
    checkLength(expanded.length, this.config.language.maxPositions);
    return { ids: expanded, positions: ids.map((_, position) => missing + position) };
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const x = await this.#read(w, runs, probe, features);
    const tensor = await this.#stages.language.answer(w, runs, x, { probe });
    return { tensor, rowOf: (run) => sequenceIn(run, 'logits').row(0) };
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { stopTokens, language } = this.config;
    const llama = this.#stages.language;
    return generateAnswers(this.gpu, samples, options, {
      config: language.tower,
      stopTokens,
      maxPositions: language.maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => ({
        logits: await llama.answer(w, runs, await this.#read(w, runs, probe), { probe, cache }),
        next: (tokens) => llama.answer(w, runs, llama.embed(w, tokens), { probe, cache }),
      }),
    });
  }

  protected see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    return walkVit(w, this.#vision, this.config.vision, this.#stages.vision, runs, probe);
  }

  /** Images, instructions and prompts to the language model's first residual stream. */
  async #read(w: Work, runs: readonly ModelRun[], probe: Probe, known?: ImageFeatures): Promise<Tensor> {
    const { qformer, projection, language } = this.#stages;
    const { memory, shared } = await this.features(w, runs, probe, known);
    const found = await qformer.look(w, runs, memory, probe);
    if (!shared) w.release(memory.tensor);
    followingRuns(runs, QUERIES, 'projector');
    const out = { x: matmul(w, found, projection.weight, { bias: projection.bias }) };
    w.release(found);
    const walk = { w, probe, runs: sequencesIn(runs, 'projector') };
    await passPoint(walk, 'projector.hook_out', out, 'x');
    const x = embedPrompts(w, language, runs, 'projector', this.imageToken, out.x);
    w.release(out.x);
    return x;
  }
}
