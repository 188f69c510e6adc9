// What is pinned: changes of the corrupt run, as plain data that goes to the worker, into the page's address and into code.

/** What happens to a pinned activation x of the corrupt run; s is the clean run's at the same place. */
export type PinOperation =
  /** s: activation patching. */
  | { readonly kind: 'replace' }
  /** 0 */
  | { readonly kind: 'zero' }
  /** The mean over both runs and all their positions. */
  | { readonly kind: 'mean' }
  /** factor · x, from −2 to 2. */
  | { readonly kind: 'scale'; readonly factor: number }
  /** (1 − share) · x + share · s */
  | { readonly kind: 'interpolate'; readonly share: number }
  /** x + factor · s */
  | { readonly kind: 'add'; readonly factor: number };

interface PinBase {
  /** Unique among the pins. */
  readonly id: number;
  /** One that is switched off stays in the list and does nothing. */
  readonly on: boolean;
}

/** Activations at one hook point or the same one of several blocks. */
export interface EditPin extends PinBase {
  readonly kind: 'edit';
  /** Whole names: `text_encoder.blocks.3.cross_attn.hook_z`. */
  readonly hooks: readonly string[];
  /** Left out: all. */
  readonly positions?: readonly number[];
  readonly heads?: readonly number[];
  readonly operation: PinOperation;
}

/** Attention knock-out: queries no longer see keys. */
export interface CutPin extends PinBase {
  readonly kind: 'cut';
  /** The attention: its hook points without block and `hook_…`, `text_encoder.cross_attn`. */
  readonly attention: string;
  /** Keys: where information comes from. */
  readonly from: readonly number[];
  /** Queries. */
  readonly to: readonly number[];
  /** Left out: all. */
  readonly layers?: readonly number[];
  readonly heads?: readonly number[];
}

/** Patches of the image, as the attention that reads it sees them. */
export interface PatchesPin extends PinBase {
  readonly kind: 'patches';
  /** By their place in the image's grids one after the other, row by row (`PairInfo.grids`). */
  readonly patches: readonly number[];
  /** 0, the mean of the picture's features, or the clean run's. */
  readonly operation: 'zero' | 'mean' | 'restore';
}

export type Pin = EditPin | CutPin | PatchesPin;

/** A pin that has no number yet. */
export type NewPin = Omit<EditPin, 'id' | 'on'> | Omit<CutPin, 'id' | 'on'> | Omit<PatchesPin, 'id' | 'on'>;
