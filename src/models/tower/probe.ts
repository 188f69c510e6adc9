// How a tower shows its activations. The tower knows where its hook points are and how runs get rows of their own;
// what is read or changed there is decided by a probe, which lives in src/patching.

import type { Tensor } from '../../gpu/index.ts';
import type { Cuts } from './cuts.ts';
import type { Sequence } from './sequence.ts';

/** An activation at a hook point. */
export interface Activation {
  /** Full hook name, for example `text_encoder.blocks.3.attn.hook_z`. */
  readonly name: string;
  /** [rows, heads · size] */
  readonly tensor: Tensor;
  /** 1 where the features are not divided into heads. */
  readonly heads: number;
  /** Features of a head; for scores and patterns the pitch of a head's keys. */
  readonly size: number;
  /** Tower whose positions the rows have. For cross-attention keys and values that is the memory's. */
  readonly positionsOf: 'self' | 'memory';
  /** `keys` if the columns of a head are the keys of a query, `features` otherwise. */
  readonly columns: 'features' | 'keys';
  /** Row of a run's position, its own or its base's. */
  rowOf(run: Sequence, position: number): number;
  /** Keys that a run's positions attend to, where columns are keys. */
  keysOf(run: Sequence): number;
}

/** Positions of a run whose value will differ from the base's from a hook point on. */
export interface Fork {
  readonly run: Sequence;
  readonly positions: readonly number[];
  /** At scores: whether its queries see fewer keys and no others. */
  readonly narrows?: boolean;
}

/** Values of an image, next to each other. */
export interface PixelPart {
  readonly image: { readonly data: Float32Array };
  /** Index of the first of them in the image's data. */
  readonly first: number;
  readonly count: number;
}

/** What of a frozen run's sublayers gives what its base's gives: attention and MLPs, or attention alone. */
export type Frozen = 'all' | 'attention';

export interface Probe {
  /** Whether anybody looks at this hook point. If not, kernels around it may be fused. */
  wants(name: string): boolean;
  /** Which positions' scores or pattern it looks at, by the hook point's name; default all. */
  queries?(name: string): readonly number[] | undefined;
  /** Runs of this tower that depart from their base here, and so need rows of their own. */
  forks(name: string): readonly Fork[];
  /** Told of every hook point on row-wise activations that is passed, wanted or not, and of its rows. */
  passed?(name: string, rows: number): void;
  /**
   * Which edges it cuts in the attention whose scores have this name. Undefined: none, and nothing is done for it. `read` says
   * which, once the runs are there. Runs depart at the scores where edges of theirs are cut ({@link forks}).
   */
  cuts?(name: string): { readonly silent: boolean; read(): Cuts } | undefined;
  /** Told of the pixel values that a vision tower is about to read, and of the images that they are parts of, in order. */
  pixels?(tensor: Tensor, parts: readonly PixelPart[]): void;
  /**
   * Runs of a tower of which only the residual stream differs from their base's; nothing may be derived from them. Other positions
   * do not see what they change.
   */
  frozen?(tower: string): ReadonlyMap<Sequence, Frozen>;
  /** Reads and changes the activation. */
  visit(activation: Activation): void | Promise<void>;
}

/** Looks at nothing. */
export const NO_PROBE: Probe = {
  wants: () => false,
  forks: () => [],
  visit: () => {},
};
