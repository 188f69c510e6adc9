// What things are called in titles of figures and tables.

import type { CellMetric } from '../../analysis/cell.ts';
import type { HeadPosition } from '../../analysis/effects.ts';

/** Names of corruptions. */
export const CORRUPTION_NAMES = {
  sip: 'SIP (counterpart image)',
  str: 'STR (replaced tokens)',
  noise: 'Gaussian noise on image embeddings',
  generated: 'generated counterpart image',
} as const;

/** Where single heads were patched. */
export const POSITION_NAMES: Readonly<Record<HeadPosition, string>> = {
  answer: 'the correct option',
  last: "the prompt's last token",
};

/** Names of measures; units are those of METRIC_LABELS. */
export const MEASURE_TITLES: Readonly<Record<CellMetric, string>> = {
  p_patched: 'probability P′',
  p_effect: 'restoration probability P′ − P*',
  ld_effect: 'logit difference LD′ − LD*',
  normalized: 'normalised effect',
};

/** Short names of the usual sites; any other is named by its hook. */
const SITE_NAMES: Readonly<Record<string, string>> = {
  'text_encoder.attn.hook_z': 'self-attention',
  'text_encoder.cross_attn.hook_z': 'cross-attention',
  'text_encoder.hook_mlp_out': 'MLP',
  'language.attn.hook_z': 'attention',
  'language.hook_mlp_out': 'MLP',
};

export function siteName(site: string): string {
  return SITE_NAMES[site] ?? site;
}
