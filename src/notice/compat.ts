// Differences between the paper's text, which is the default, and its released code, by name.

import { NoticeError } from '../errors.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import { parseSite, type SweepSite } from '../patching/index.ts';

/** All switches; those that concern prompts, metrics and statistics are read where they apply, see {@link compatSite}. */
export const COMPAT_SWITCHES = [
  'mlp-is-layer-output',
  'residual-into-module',
  'head-offset',
  'row-before-answer',
  'score-p',
  'answer-token',
  'unmasked-padding',
  'nan-to-zero',
] as const;

export type CompatSwitch = (typeof COMPAT_SWITCHES)[number];

/**
 * @param names switches, or `all`
 * @throws NoticeError('usage') for a name that is none
 */
export function parseCompat(names: readonly string[]): CompatSwitch[] {
  if (names.includes('all')) return [...COMPAT_SWITCHES];
  const unknown = names.find((name) => !COMPAT_SWITCHES.includes(name as CompatSwitch));
  if (unknown !== undefined)
    throw new NoticeError(
      'usage',
      `unknown compat switch "${unknown}"; there are ${COMPAT_SWITCHES.join(', ')} and all`,
    );
  return names as CompatSwitch[];
}

/**
 * A site as the released code patches it. Under `mlp-is-layer-output` the "MLP" of a tower with its norms behind (BLIP) is the
 * block's output after residual sum and LayerNorm. Under `residual-into-module` the clean run's layer output is put into the
 * attention or MLP of a decoder that continues the prompt (LLaVA); the last layer's is taken after the final norm, as
 * `output_hidden_states` has it.
 */
export function compatSite(
  model: VisionLanguageModel,
  site: SweepSite,
  compat: readonly CompatSwitch[],
): SweepSite {
  const { tower, hook } = parseSite(model, site.site);
  const has = (name: string) => model.hooks.some((info) => info.name === name);
  const isMlp = hook === 'hook_mlp_out';
  const normalized = 'hook_normalized_resid_post';
  if (compat.includes('mlp-is-layer-output') && isMlp && has(`${tower}.blocks.0.${normalized}`))
    return { ...site, site: `${tower}.${normalized}` };
  const isModule = !site.heads && (isMlp || hook === 'attn.hook_z');
  if (!compat.includes('residual-into-module') || !isModule) return site;
  if (model.answers !== 'continuation' || tower !== model.promptTower) return site;
  const layers = model.configs.find(({ name }) => name === tower)?.layers;
  const output = `${tower}.hook_out`;
  return {
    ...site,
    source: (layer) =>
      layer + 1 === layers && has(output) ? output : `${tower}.blocks.${layer}.hook_resid_post`,
  };
}
