// What every vision-language model of this library can do, whatever towers it is made of.

import type { Gpu, Tensor, Work } from '../gpu/index.ts';
import type { PromptTemplates } from '../inputs/index.ts';
import type { Answerer } from './head.ts';
import type { HookInfo } from './hook-table.ts';
import type { FeatureGrid, ImageInput } from './image-input.ts';
import type { SampleInput } from './sample.ts';
import type { SampleTensors } from './sample-tensors.ts';
import type { Probe, Sequence, TowerConfig } from './tower/index.ts';

/** One prompt, ready for the model. */
export interface Sample {
  /** In the order in which the prompt names them. Runs whose samples hold the same objects share their features. */
  readonly images: readonly ImageInput[];
  readonly ids: readonly number[];
  /**
   * The text once more, for a model whose image features depend on it: token ids of another tokenizer
   * (`Conventions.instructionTokenizer`), read together with the image.
   */
  readonly instruction?: readonly number[] | undefined;
  /**
   * Position ids of `ids`. Default 0, 1, 2, …. Padding is left out of `ids`, not masked, so a sequence with padding at
   * its left has places that do not begin at 0.
   */
  readonly places?: readonly number[];
  /**
   * How many of `ids` are the prompt: what follows goes on with it, an answer in the making. Default all. It matters where a
   * prompt sees all of itself (PaliGemma).
   */
  readonly promptEnd?: number;
}

/** Position ids that a model gives the tokens of a prompt. */
export interface Places {
  readonly ids: readonly number[];
  /** That of the first token behind them. */
  readonly next: number;
}

/**
 * A run of the whole model: one run in each of its towers. A derived run is computed only where it differs from
 * its base: in tokens that differ, and from the hook points at which it departs.
 */
export class ModelRun {
  readonly sample: Sample;
  readonly base: ModelRun | undefined;
  /** Towers with a hook point at which this run departs from its base. */
  readonly departsIn: ReadonlySet<string>;
  /** The run in each tower, set while the model is walked. */
  readonly towers = new Map<string, Sequence>();
  /** Position ids of the sample where the model makes them, set while it is walked; default the sample's. */
  places: Places | undefined;

  constructor(sample: Sample, base?: ModelRun, departsIn: ReadonlySet<string> = new Set()) {
    this.sample = sample;
    this.base = base;
    this.departsIn = departsIn;
  }
}

export interface ForwardOptions {
  readonly probe?: Probe;
  /** Image features of an earlier walk with the same images. */
  readonly features?: ImageFeatures;
  /**
   * Tokens of an answer that is given, not generated (teacher forcing): the logits are those of each of its tokens. A decoder
   * reads all but the last behind its start token; the prompts of a model that goes on with them end with these already.
   */
  readonly answer?: readonly number[] | undefined;
}

/** What the vision tower made of some images; kept by whoever runs several walks on them. */
export interface ImageFeatures {
  readonly images: readonly ImageInput[];
  /** What has to be kept of the work in which they are made, and released when they are done with. */
  readonly tensors: readonly Tensor[];
}

/** Logits of the answer's first position, or of all positions of an answer that is given. */
export interface Logits {
  /** [rows, vocabulary] */
  readonly tensor: Tensor;
  /** A run's row for a token of the answer (default the first): its own, or its base's if nothing changed it. */
  rowOf(run: ModelRun, token?: number): number;
}

/**
 * How answers are generated; all may be left out. `maxNewTokens` counts tokens of each sequence, the one that ends it not among
 * them. A `sequence` is the index of a sample. Errors of `sample`, `onToken` and `onEnd` are passed on.
 *
 * @example
 * const [answer] = await model.generate([sample], {
 *   maxNewTokens: 5,
 *   sample: sampler({ seed: 1, temperature: 0.8 }),
 *   onToken: (token) => console.log(processor.tokenizer.idToToken(token)),
 * });
 */
export interface GenerateOptions {
  /** Default 20. */
  readonly maxNewTokens?: number;
  /** Picks the next token of a sequence from logits [vocabulary]; default the largest. */
  readonly sample?: (logits: Float32Array, sequence: number) => number;
  /**
   * Makes what looks at and changes activations, from the samples' runs. These are then walked together, the prompts
   * first, then one new position of each at a time.
   */
  readonly probe?: (w: Work, runs: readonly ModelRun[]) => Probe;
  /** Called when all is generated, while what the probe holds is still there. */
  readonly onEnd?: () => Promise<void>;
  /** Called with every new token of a sequence as it comes. */
  readonly onToken?: (token: number, sequence: number) => void;
  /** Keep each step's logits. */
  readonly keepLogits?: boolean;
  /** Ends it between two tokens; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

export interface Generated {
  /** New tokens, without the one that ended the answer. */
  readonly ids: number[];
  /** Each step's logits, if asked for. */
  readonly logits: Float32Array[];
  /** Whether a stop token ended it (else `maxNewTokens` did). */
  readonly stopped: boolean;
}

/** How a model reads and answers: what its family's file says of it. Nothing asks for the family itself. */
export interface Conventions {
  /** For records and titles. */
  readonly family: string;
  /** `decoder`: by a decoder of its own that attends to the prompt; `continuation`: the prompt goes on. */
  readonly answers: 'decoder' | 'continuation';
  /** Names of the towers in the order of their computation; the last is the one that answers. */
  readonly towers: readonly string[];
  /** The tower that hook names without one mean; left out where there is doubt. */
  readonly defaultTower?: string;
  /** The tower that reads the prompt, whose positions a text patch means. */
  readonly promptTower: string;
  /** Hook point of the prompt's embeddings, and of what everything later reads of the prompt. */
  readonly promptEmbedding: string;
  readonly promptOutput: string;
  /** Hook point of the image's embeddings, before the first block. */
  readonly imageEmbedding: string;
  /** The attention that reads the image: its hook points without block and `hook_…`, `text_encoder.cross_attn`. */
  readonly imageAttention: string;
  /** The token that stands for one feature of an image in a prompt, if there is one. */
  readonly imageToken?: number;
  /** Folder of the tokenizer that gives a sample's `instruction`, inside the model's, if it needs one. */
  readonly instructionTokenizer?: string;
  /**
   * The text that stands for an image in a prompt, put in before it is tokenised, of a family whose tokens around an image's
   * features depend on the image. It holds the image token once for every feature.
   */
  imageText?(image: ImageInput): string;
  /** The text of a prompt that stands where an image goes; default `<image>`. */
  readonly imagePlaceholder?: string;
  /**
   * A prompt's text as the family's processor completes it, with all special tokens in it: the tokenizer then adds none. Left
   * out where the tokenizer does.
   */
  completePrompt?(text: string): string;
  /** Prompt templates by name, the default first. The placeholder in them is where an image goes. */
  readonly templates: PromptTemplates;
}

/**
 * A model in GPU memory, of whatever family. {@link loadModel} makes one; `runWithCache`, `runWithHooks`, `sweep` and
 * everything else in this library take it.
 *
 * Samples have no batch dimension: a batch is a list, prompts may differ in length, nothing is padded. Activations are f32
 * whatever type the weights are stored in: [position, width], queries to z [position, head, d_head], patterns [head, query,
 * key], logits [vocabulary]. `hooks` lists every hook point with its shape.
 *
 * @example
 * const model = await loadModel(gpu, nodeFolder('weights/blip-shapes'), { dtype: 'f16' });
 * console.log(model.family, model.towers, model.weightBytes, model.hooks.length);
 * const [answer] = await model.generate([sample]);
 * model.destroy();
 */
export interface VisionLanguageModel extends Conventions {
  readonly gpu: Gpu;
  /** Settings of its transformer towers. */
  readonly configs: readonly TowerConfig[];
  readonly vocabulary: number;
  /** Hook points with shapes and the module of transformers that each equals. */
  readonly hooks: readonly HookInfo[];
  /** Bytes of weights in GPU memory. */
  readonly weightBytes: number;
  /**
   * Token ids as the tokenizer gives them to what the prompt's tower sees: the image token once for every feature.
   *
   * @param images those of the prompt; may be left out where all images have as many features
   * @returns ids, and for every token given its position there
   * @throws NoticeError('text') if there are too many tokens, or not as many image tokens as images; ('image') for more or
   *   fewer images than the model takes
   */
  expand(
    ids: readonly number[],
    images?: readonly ImageInput[],
  ): { readonly ids: readonly number[]; readonly positions: readonly number[] };
  /** Positions that a sample's images have in the vision tower, all together. */
  imagePositions(images: readonly ImageInput[]): number;
  /** Features that the prompt's tower reads of an image. */
  featureCount(image: ImageInput): number;
  /** Where these lie. */
  featureGrids(image: ImageInput): readonly FeatureGrid[];
  /** Where the patches lie that the vision tower's positions are, as {@link featureGrids}. */
  visionGrids(image: ImageInput): readonly FeatureGrid[];
  /** How samples stand in files. */
  readonly tensors: SampleTensors;
  /** An image of the size that the model was made for, all zeros: for plans. */
  blankImage(): ImageInput;
  /**
   * Computes what several walks on the same images share: pass it to them. For walks in other works keep its tensors, and
   * release them when done.
   */
  encodeImages(w: Work, images: readonly ImageInput[]): Promise<ImageFeatures>;
  /**
   * Computes runs.
   *
   * @param runs bases before what is derived from them
   */
  forward(w: Work, runs: readonly ModelRun[], options?: ForwardOptions): Promise<Logits>;
  /** Weights of the tower that answers: its blocks and its head. */
  readonly answerer: Answerer;
  /**
   * Greedy (or sampled) answers, one per sample, in works of their own.
   *
   * @throws NoticeError('not-finite') for logits that are NaN or infinite; the signal's reason
   */
  generate(samples: readonly SampleInput[], options?: GenerateOptions): Promise<Generated[]>;
  /** Frees the weights; the model cannot be used any more. */
  destroy(): void;
}
