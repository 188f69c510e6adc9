// InstructBLIP: a ViT, a Q-Former that looks at the image for what the instruction asks, and a LLaMA (Vicuna) that reads what
// its queries have found before the prompt. Behaviour is that of transformers' InstructBlipForConditionalGeneration.

import { NoticeError } from '../../errors.ts';
import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { ContinuingModel, generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import { followingRuns } from '../feature-runs.ts';
import type { ImageInput } from '../image-input.ts';
import type { ModelRun } from '../model.ts';
import { Llama, loadLlama } from '../parts/llama.ts';
import { projectLinear } from '../parts/projector.ts';
import { BLIP_VIT, loadVit, patchSide, type VitWeights, walkVit } from '../parts/vit.ts';
import { checkLength, sequencesIn } from '../sequences.ts';
import { type Linear, type Memory, type Probe, Tower } from '../tower/index.ts';
import { linear, prefixOf } from '../weight-maps.ts';
import { type InstructBlipConfig, parseInstructBlipConfig } from './config.ts';
import { instructBlipHooks } from './hooks.ts';
import { loadQFormer, QFormer, QUERIES } from './qformer.ts';
import { INSTRUCTION_TENSORS } from './tensors.ts';

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
  return new InstructBlip(gpu, config, stages, loader);
}

/** What it is made of. */
interface Stages {
  readonly vision: VitWeights;
  readonly qformer: QFormer;
  readonly projection: Linear;
  readonly language: Llama;
}

export class InstructBlip extends ContinuingModel {
  readonly family = 'instructblip';
  override readonly imageAttention = 'qformer.cross_attn';
  readonly instructionTokenizer = 'qformer_tokenizer';
  override readonly tensors = INSTRUCTION_TENSORS;
  readonly templates = {
    question: '{question}',
    /** As the paper asks for answers of a word or two. */
    'short-answer': 'Question: {question} Short answer:',
  };
  readonly config: InstructBlipConfig;
  readonly #stages: Stages;
  readonly #vision: Tower;

  constructor(gpu: Gpu, config: InstructBlipConfig, stages: Stages, loader: WeightLoader) {
    const { vision, qformer, imageToken, stopTokens } = config;
    super({
      gpu,
      hooks: instructBlipHooks(config),
      vision,
      imageTowers: ['vision'],
      tileFeatures: { side: patchSide(vision), first: 1 },
      maxImages: 1,
      between: { towers: ['qformer', 'projector'], configs: [qformer.tower] },
      reader: stages.qformer.tower,
      language: stages.language,
      imageToken,
      stopTokens,
      loader,
    });
    this.config = config;
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

  protected see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    return walkVit(w, this.#vision, this.config.vision, this.#stages.vision, runs, probe);
  }

  /** What the queries find in the image for each instruction. */
  protected override async arrange(w: Work, runs: readonly ModelRun[], memory: Memory, probe: Probe) {
    const { qformer, projection } = this.#stages;
    const found = await qformer.look(w, runs, memory, probe);
    followingRuns(runs, QUERIES, 'projector');
    const walk = { w, probe, runs: sequencesIn(runs, 'projector') };
    return { tower: 'projector', features: await projectLinear(walk, 'projector', found, projection) };
  }
}
