// LLaVA-1.5: CLIP, a projector, and a LLaMA that reads the image's features among the prompt's tokens. Behaviour is
// that of transformers' LlavaForConditionalGeneration.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import { expandImageTokens } from '../../inputs/index.ts';
import { embedTokens, gatherRows, matmul, normalize } from '../../kernels/index.ts';
import { hasFile, readJson } from '../../weights/index.ts';
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
import { checkLength, lastPositions, placesOf, towerRun, towerRuns } from '../sequences.ts';
import {
  type KeyValueCache,
  NO_PROBE,
  type Probe,
  passPoint,
  type Run,
  rotaryAngles,
  Tower,
  type TowerConfig,
  type Walk,
} from '../tower/index.ts';
import { blankSquare, oneImage, reusable, squareGrid } from '../vision.ts';
import { type LlavaConfig, parseLlavaConfig } from './config.ts';
import { promptRows } from './feature-runs.ts';
import { llavaHooks } from './hooks.ts';
import { ImageEncoder } from './image-encoder.ts';
import { type LlavaWeights, loadLlavaWeights } from './weights.ts';

export const LLAVA_TEMPLATES = {
  /** As the model card has it. */
  llava: 'USER: <image>\n{question} ASSISTANT:',
  /** Asked for one word; llava-shapes was trained with it. */
  'llava-one-word': 'USER: <image>\n{question} Answer with one word. ASSISTANT:',
  /** With the answer on a line of its own. */
  'llava-notice': 'USER: <image>\n{question}\nASSISTANT:',
};

const GENERATION_FILE = 'generation_config.json';

/** Projected features of images. */
interface LlavaFeatures extends ImageFeatures {
  readonly tensor: Tensor;
  readonly runs: ReadonlyMap<ImageInput, Run>;
}

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadLlava({ gpu, source, config, checkpoint, loader }: ModelFiles): Promise<Llava> {
  const generation = (await hasFile(source, GENERATION_FILE)) ? await readJson(source, GENERATION_FILE) : {};
  const parsed = parseLlavaConfig(config, generation);
  const weights = await loadLlavaWeights(loader, checkpoint, parsed);
  const angles = await rotaryAngles(gpu, parsed.language, parsed.maxPositions);
  return new Llava(gpu, parsed, { ...weights, angles }, loader.bytes + angles.size, () => {
    angles.destroy();
    loader.destroy();
  });
}

export class Llava implements VisionLanguageModel {
  readonly family = 'llava';
  readonly answers = 'continuation';
  readonly defaultTower = 'language';
  readonly towers = ['vision', 'projector', 'language'];
  readonly promptTower = 'language';
  readonly promptEmbedding = 'language.hook_embed';
  readonly imageEmbedding = 'vision.hook_embed';
  readonly imageAttention = 'language.attn';
  readonly templates = LLAVA_TEMPLATES;
  readonly promptOutput: string;
  readonly gpu: Gpu;
  readonly config: LlavaConfig;
  readonly hooks: readonly HookInfo[];
  readonly weightBytes: number;
  readonly #weights: LlavaWeights & { readonly angles: GPUBuffer };
  readonly #images: ImageEncoder;
  readonly #language: Tower;
  readonly #release: () => void;

  /** `release` frees the weights. */
  constructor(
    gpu: Gpu,
    config: LlavaConfig,
    weights: LlavaWeights & { readonly angles: GPUBuffer },
    weightBytes: number,
    release: () => void,
  ) {
    const { language } = config;
    this.gpu = gpu;
    this.config = config;
    this.hooks = llavaHooks(config);
    this.promptOutput = `language.blocks.${language.layers - 1}.hook_resid_post`;
    this.#weights = weights;
    this.#images = new ImageEncoder(config, weights, this.hooks);
    this.#language = new Tower(language, weights.language);
    this.weightBytes = weightBytes;
    this.#release = release;
  }

  get configs(): readonly TowerConfig[] {
    return [this.config.vision, this.config.language];
  }

  get vocabulary(): number {
    return this.config.vocabulary;
  }

  get imageToken(): number {
    return this.config.imageToken;
  }

  imagePositions(): number {
    return this.#images.positions;
  }

  featureCount(): number {
    return this.#images.features;
  }

  featureGrids(): readonly FeatureGrid[] {
    const { imageSize, patchSize, classFeature } = this.config;
    return [squareGrid(imageSize, patchSize, Number(classFeature))];
  }

  blankImage(): ImageInput {
    return blankSquare(this.config.imageSize);
  }

  expand(ids: readonly number[], images?: readonly ImageInput[]) {
    if (images) oneImage(images);
    const expanded = expandImageTokens(ids, this.config.imageToken, this.#images.features);
    checkLength(expanded.ids.length, this.config.maxPositions);
    return expanded;
  }

  async encodeImages(w: Work, images: readonly ImageInput[]): Promise<LlavaFeatures> {
    const runs = images.map((image) => new ModelRun({ images: [image], ids: [] }));
    const tensor = await this.#images.encode(w, runs, NO_PROBE);
    return {
      images,
      tensors: [tensor],
      tensor,
      runs: new Map(runs.map((run) => [oneImage(run.sample.images), towerRun(run, 'projector')])),
    };
  }

  async forward(
    w: Work,
    runs: readonly ModelRun[],
    { probe = NO_PROBE, features }: ForwardOptions = {},
  ): Promise<Logits> {
    const x = await this.#read(w, runs, probe, features as LlavaFeatures | undefined);
    const tensor = await this.#answer(w, runs, x, probe);
    return { tensor, rowOf: (run) => towerRun(run, 'logits').row(0) };
  }

  generate(samples: readonly Sample[], options: GenerateOptions = {}): Promise<Generated[]> {
    const { stopTokens, maxPositions, language } = this.config;
    return generateAnswers(this.gpu, samples, options, {
      config: language,
      stopTokens,
      maxPositions,
      promptLength: ({ ids }) => ids.length,
      start: async (w, runs, probe, cache) => ({
        logits: await this.#answer(w, runs, await this.#read(w, runs, probe), probe, cache),
        next: (tokens) => this.#answer(w, runs, embedTokens(w, tokens, this.#weights.tokens), probe, cache),
      }),
    });
  }

  destroy(): void {
    this.#release();
  }

  /** Images and prompts to the language model's first residual stream. */
  async #read(w: Work, runs: readonly ModelRun[], probe: Probe, features?: LlavaFeatures): Promise<Tensor> {
    const shared = features && reusable(features, ['vision', 'projector'], runs, probe, this.hooks);
    if (shared)
      for (const run of runs)
        run.towers.set('projector', features.runs.get(oneImage(run.sample.images)) as Run);
    const projected = shared ? features.tensor : await this.#images.encode(w, runs, probe);
    const { tokens, features: rows } = promptRows(runs, this.config.imageToken);
    // Rows of image features are looked up as token 0 and then overwritten.
    const ids = [...tokens.map(({ id }) => id), ...new Array<number>(rows.length).fill(0)];
    const x = embedTokens(w, ids, this.#weights.tokens);
    gatherRows(w, projected, rows, { ...x, rows: rows.length, offset: tokens.length * x.columns });
    if (!shared) w.release(projected);
    return x;
  }

  /** The language model, from its first residual stream to the logits of every run's last position. */
  async #answer(
    w: Work,
    runs: readonly ModelRun[],
    embedded: Tensor,
    probe: Probe,
    cache?: KeyValueCache,
  ): Promise<Tensor> {
    const { norm, head, angles } = this.#weights;
    const places = placesOf(runs, 'language', this.config.maxPositions);
    const walk: Walk = {
      w,
      probe,
      runs: towerRuns(runs, 'language'),
      cache,
      rotary: { table: angles, places },
    };
    const stream = { x: embedded };
    await passPoint(walk, 'language.hook_embed', stream, 'x');
    stream.x = await this.#language.walk(walk, stream.x);
    // Norm and head work on the rows of the last positions, unless somebody looks at others.
    const wantsAll = probe.wants('logits_all');
    const normalizesAll = wantsAll || probe.wants('language.hook_out');
    if (normalizesAll) {
      replace(w, stream, normalize(w, stream.x, norm));
      await passPoint(walk, 'language.hook_out', stream, 'x');
    }
    if (wantsAll) {
      replace(w, stream, matmul(w, stream.x, head));
      for (const run of runs) run.towers.set('logits_all', towerRun(run, 'language'));
      await passPoint(walk, 'logits_all', stream, 'x');
    }
    const rows = lastPositions(runs, 'language');
    replace(w, stream, gatherRows(w, stream.x, rows, w.empty(rows.length, stream.x.columns, 'answers')));
    if (!normalizesAll) replace(w, stream, normalize(w, stream.x, norm));
    if (!wantsAll) replace(w, stream, matmul(w, stream.x, head));
    await passPoint(walk, 'logits', stream, 'x');
    return stream.x;
  }
}

function replace(w: Work, stream: { x: Tensor }, x: Tensor): void {
  w.release(stream.x);
  stream.x = x;
}
