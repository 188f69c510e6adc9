// One measurement of a sweep: what putting one clean activation into one corrupt run did.

/** Which input was corrupted. */
export type Modality = 'image' | 'text';

/** How: semantic image pair, symmetric token replacement, Gaussian noise, a generated counterpart. */
export type Corruption = 'sip' | 'str' | 'noise' | 'generated';

/**
 * A row of the per-cell Parquet. P is the probability of the correct answer, LD = logit(correct) − logit(incorrect);
 * ' is the patched run, * the corrupt one (paper, section 3). Effects are float32, as the GPU computed them.
 */
export interface CellRow {
  /** Id of the pair. */
  readonly sample: string;
  readonly task: string;
  readonly category: string;
  readonly modality: Modality;
  readonly corruption: Corruption;
  /** Number of the noise draw from 0; 0 for other corruptions. */
  readonly draw: number;
  /** Hook name without its block, as in `notice sweep --sites`. */
  readonly site: string;
  readonly layer: number;
  /** Null: all heads of the module. */
  readonly head: number | null;
  /** Patched position; the first one of several that were patched together. */
  readonly position: number;
  /** Number of neighbouring positions patched together: 1, or the sub-tokens of a word. */
  readonly positions: number;
  /** The part that the token plays in the prompt. */
  readonly role: string;
  /** Its text. */
  readonly token: string;
  /** P' */
  readonly p_patched: number;
  /** P' − P*, the restoration probability. */
  readonly p_effect: number;
  /** LD' − LD*, logits. */
  readonly ld_effect: number;
  /** (LD' − LD*) / (LD_clean − LD*); null where the denominator is 0. */
  readonly normalized: number | null;
  readonly p_clean: number;
  readonly p_corrupt: number;
  readonly ld_clean: number;
  readonly ld_corrupt: number;
}

/** What can be averaged over cells. */
export type CellMetric = 'p_patched' | 'p_effect' | 'ld_effect' | 'normalized';

/** Name and unit of a metric for axes and colour bars. */
export const METRIC_LABELS: Readonly<Record<CellMetric, string>> = {
  p_patched: 'P′ (probability)',
  p_effect: 'P′ − P* (probability)',
  ld_effect: 'LD′ − LD* (logits)',
  normalized: '(LD′ − LD*) / (LD − LD*)',
};
