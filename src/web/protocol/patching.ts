// Sweeps, pinned patches and many pairs.

import type { Pin } from './pins.ts';
import type { CorruptionName, PairSpec, RunAnswer } from './session.ts';
import type { Task } from './task.ts';

export interface SweptSite {
  /** Hook name without the block. */
  readonly site: string;
  /** Each head by itself. */
  readonly heads: boolean;
  /** Groups of positions that are patched together. */
  readonly positions: readonly (readonly number[])[];
}

export interface SweepSpec {
  readonly corruptions: readonly CorruptionName[];
  readonly sites: readonly SweptSite[];
}

/** What a site's numbers are arranged by: [layer, head, position] where heads are patched one by one, else [layer, position]. */
export interface SiteShape {
  readonly site: string;
  readonly layers: readonly number[];
  readonly heads: number | undefined;
  readonly positions: readonly (readonly number[])[];
}

/** What a sweep tells on its way: how its maps are arranged, then cells as they are measured. */
export type SweepEvent =
  | { readonly kind: 'begin'; readonly sites: readonly SiteShape[]; readonly cells: number }
  | {
      readonly kind: 'cells';
      readonly corruption: CorruptionName;
      /** Index of the site. */
      readonly site: number;
      /** Places of the cells in the site's arrangement. */
      readonly indices: Uint32Array;
      /** [cell, number], the four of `METRICS` for each. */
      readonly numbers: Float32Array;
    };

export interface SweepSummary {
  /** Largest change of the logit difference that rounding alone makes: smaller effects mean nothing. */
  readonly noiseFloor: number;
  readonly seconds: number;
}

export interface PatchSpec {
  readonly corruption: CorruptionName;
  readonly pins: readonly Pin[];
}

/** The corrupt run with all that is pinned, beside what it was. */
export interface PatchedAnswer extends Omit<RunAnswer, 'answer'> {
  /** P′(correct) − P*(correct), LD′ − LD*, (LD′ − LD*) / (LD − LD*): as in a sweep, but of all pins together. */
  readonly pEffect: number;
  readonly ldEffect: number;
  readonly normalized: number;
  readonly milliseconds: number;
}

export interface ManySpec extends PatchSpec {
  /** Pairs of the data set, the one that is looked at among them or not. */
  readonly pairs: readonly PairSpec[];
}

/** A pair that was patched, or why it could not be. */
export type ManyPoint =
  | {
      readonly kind: 'patched';
      readonly id: string;
      /** What was applied: the pins at this pair's tokens. */
      readonly pins: readonly Pin[];
      readonly pEffect: number;
      readonly ldEffect: number;
      readonly normalized: number;
    }
  | { readonly kind: 'left out'; readonly id: string; readonly reason: string };

/** Mean and 95 % bootstrap interval. */
export interface MeanEffect {
  readonly n: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}

export interface ManySummary {
  readonly pEffect: MeanEffect;
  readonly ldEffect: MeanEffect;
  readonly normalized: MeanEffect;
}

export interface PatchingTasks {
  readonly sweep: Task<SweepSpec, SweepEvent, SweepSummary>;
  readonly patch: Task<PatchSpec, never, PatchedAnswer>;
  readonly many: Task<ManySpec, ManyPoint, ManySummary | undefined>;
}
