// What every vision-language model of this library can do, whatever towers it is made of.

import type { Gpu, Tensor } from '../gpu/index.ts';
import type { PixelValues } from '../inputs/index.ts';
import type { HookInfo } from './hook-table.ts';
import type { Probe, Run, TowerConfig } from './tower/index.ts';

/** One prompt, ready for the model. */
export interface Sample {
  /** Runs whose samples hold the same object share the image's features. */
  readonly image: PixelValues;
  readonly ids: readonly number[];
  /**
   * Position ids of `ids`. Default 0, 1, 2, …. Padding is left out of `ids`, not masked, so a sequence with padding at
   * its left has places that do not begin at 0.
   */
  readonly places?: readonly number[];
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
  readonly towers = new Map<string, Run>();

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
}

/** What the vision tower made of some images; kept by whoever runs several walks on them. */
export interface ImageFeatures {
  readonly images: readonly PixelValues[];
  /** What has to be kept of a scope that they are made in. */
  readonly tensors: readonly Tensor[];
  release(): void;
}

/** Logits of the answer's first position. */
export interface Logits {
  /** [rows, vocabulary] */
  readonly tensor: Tensor;
  /** A run's row: its own, or its base's if nothing changed it. */
  rowOf(run: ModelRun): number;
}

export interface GenerateOptions {
  readonly maxNewTokens?: number;
  /** Picks the next token of a sequence from logits [vocabulary]; default the largest. */
  readonly sample?: (logits: Float32Array, sequence: number) => number;
  /**
   * Makes what looks at and changes activations, from the samples' runs. These are then walked together, the prompts
   * first, then one new position of each at a time.
   */
  readonly probe?: (runs: readonly ModelRun[]) => Probe;
  /** Called when all is generated, while what the probe holds is still there. */
  readonly onEnd?: () => Promise<void>;
  /** Called with every new token of a sequence as it comes. */
  readonly onToken?: (token: number, sequence: number) => void;
  /** Keep each step's logits. */
  readonly keepLogits?: boolean;
}

export interface Generated {
  /** New tokens, without the one that ended the answer. */
  readonly ids: number[];
  /** Each step's logits, if asked for. */
  readonly logits: Float32Array[];
  /** Whether a stop token ended it (else `maxNewTokens` did). */
  readonly stopped: boolean;
}

export interface VisionLanguageModel {
  readonly gpu: Gpu;
  /**
   * Which of the paper's two models it is like: `blip` answers from a decoder of its own, `llava` continues the prompt
   * in a tower named `language`, which hook names without a tower mean. Prompt template, answer tokens and compat
   * switches go by it.
   */
  readonly family: 'blip' | 'llava';
  /** Names of the towers in the order of their computation; the last is the one that answers. */
  readonly towers: readonly string[];
  /** The tower that reads the prompt, whose positions a text patch means. */
  readonly promptTower: string;
  /** Pixels of an image's side, and the token that stands for the image in a prompt, if there is one. */
  readonly config: { readonly imageSize: number; readonly imageToken?: number };
  /** Settings of its transformer towers. */
  readonly configs: readonly TowerConfig[];
  /** Hook point of the prompt's embeddings, and of what everything later reads of the prompt. */
  readonly promptEmbedding: string;
  readonly promptOutput: string;
  readonly vocabulary: number;
  /** Positions of an image in the vision tower. */
  readonly imagePositions: number;
  /** Hook points with shapes and the module of transformers that each equals. */
  readonly hooks: readonly HookInfo[];
  /** Bytes of weights in GPU memory. */
  readonly weightBytes: number;
  /**
   * Token ids as the tokenizer gives them to what the prompt's tower sees: the image token once for every feature.
   *
   * @returns ids, and for every token given its position there
   * @throws NoticeError('text') if there are too many, or the image token is missing
   */
  expand(ids: readonly number[]): { readonly ids: readonly number[]; readonly positions: readonly number[] };
  /**
   * Computes what several walks on the same images share; pass it to them and release it when done. Call within
   * `gpu.scope`, keeping its tensors.
   */
  encodeImages(images: readonly PixelValues[]): Promise<ImageFeatures>;
  /**
   * Computes runs. Call within `gpu.scope`: what is not kept is released at the scope's end.
   *
   * @param runs bases before what is derived from them
   */
  forward(runs: readonly ModelRun[], options?: ForwardOptions): Promise<Logits>;
  /** Greedy (or sampled) answers, one per sample. */
  generate(samples: readonly Sample[], options?: GenerateOptions): Promise<Generated[]>;
  destroy(): void;
}
