// What maps are called.

import { METRICS } from '../../patching/index.ts';
import type { MetricName } from '../state/sweep.ts';

/** The numbers of a cell, in their order. */
export const CELL_NUMBERS: readonly MetricName[] = METRICS;

export const METRIC_TITLES: Readonly<Record<Exclude<MetricName, 'p'>, string>> = {
  ld_effect: 'LD′ − LD*, in logits',
  p_effect: 'restoration probability, P′(correct) − P*(correct)',
  normalized: 'normalised, (LD′ − LD*) / (LD − LD*)',
};

/** Short, for names. */
export function metricName(metric: MetricName): string {
  return {
    p: 'probability of the correct answer',
    p_effect: 'restoration probability',
    ld_effect: 'restored logit difference',
    normalized: 'restored share of the logit difference',
  }[metric];
}

/** A block's hook point of a site: `text_encoder.attn.hook_z` in block 3. */
export function hookIn(site: string, layer: number): string {
  return site.replace('.', `.blocks.${layer}.`);
}
