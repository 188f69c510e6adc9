// PaliGemma and PaliGemma 2: SigLIP, a linear layer, and a Gemma whose prompt, features of the image first, sees all of
// itself. Behaviour is that of transformers' PaliGemmaForConditionalGeneration.

import type { Gpu, Tensor, Work } from '../../gpu/index.ts';
import type { WeightLoader } from '../../weights/index.ts';
import { ContinuingModel, generationConfig } from '../continuing-model.ts';
import type { ModelFiles } from '../family.ts';
import { followingRuns } from '../feature-runs.ts';
import type { ModelRun, Sample } from '../model.ts';
import { Llama, type Together } from '../parts/llama.ts';
import { projectLinear } from '../parts/projector.ts';
import { patchSide, walkVit } from '../parts/vit.ts';
import { sequencesIn } from '../sequences.ts';
import { type KeyRange, type Probe, Tower } from '../tower/index.ts';
import { type PaliGemmaConfig, parsePaliGemmaConfig } from './config.ts';
import { paliGemmaHooks } from './hooks.ts';
import { loadPaliGemmaWeights, type PaliGemmaWeights } from './weights.ts';

/** @throws NoticeError('config'), WeightsError, ModelFileError */
export async function loadPaliGemma(files: ModelFiles): Promise<PaliGemma> {
  const { gpu, source, config, checkpoint, loader } = files;
  const parsed = parsePaliGemmaConfig(config, await generationConfig(source));
  return new PaliGemma(gpu, parsed, await loadPaliGemmaWeights(loader, checkpoint, parsed), loader);
}

const IMAGE = '<image>';
const START = '<bos>';

export class PaliGemma extends ContinuingModel {
  readonly family = 'paligemma';
  readonly templates = { paligemma: `${IMAGE}answer en {question}\n` };
  readonly config: PaliGemmaConfig;
  readonly #weights: PaliGemmaWeights;
  readonly #vision: Tower;

  constructor(gpu: Gpu, config: PaliGemmaConfig, weights: PaliGemmaWeights, loader: WeightLoader) {
    const { vision, language, imageToken, stopTokens } = config;
    super({
      gpu,
      hooks: paliGemmaHooks(config),
      vision,
      imageTowers: ['vision', 'projector'],
      tileFeatures: { side: patchSide(vision), first: 0 },
      maxImages: 1,
      language: new Llama(language, weights.language, wholePrompts()),
      imageToken,
      stopTokens,
      loader,
    });
    this.config = config;
    this.#weights = weights;
    this.#vision = new Tower(vision.tower, weights.vision.blocks);
  }

  /** The image's features come first, then the text between the start token and a line break. */
  override completePrompt(text: string): string {
    const image = text.lastIndexOf(IMAGE);
    const start = image < 0 ? 0 : image + IMAGE.length;
    const marked = text.includes(START) ? text : `${text.slice(0, start)}${START}${text.slice(start)}`;
    return marked.endsWith('\n') ? marked : `${marked}\n`;
  }

  protected async see(w: Work, runs: readonly ModelRun[], probe: Probe): Promise<Tensor> {
    const { vision, projector } = this.#weights;
    const x = await walkVit(w, this.#vision, this.config.vision, vision, runs, probe);
    followingRuns(runs, 'vision', 'projector');
    return projectLinear({ w, probe, runs: sequencesIn(runs, 'projector') }, 'projector', x, projector);
  }
}

/** Prompts see all of themselves, whatever the windows; answers what stands before. */
function wholePrompts(): Together {
  const known = new Map<number, readonly KeyRange[]>();
  return {
    beyondWindow: true,
    blocks: ({ ids, promptEnd: end = ids.length }: Sample) => {
      const blocks = known.get(end) ?? [{ first: 0, end }];
      known.set(end, blocks);
      return blocks;
    },
  };
}
