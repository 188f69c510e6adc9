// Differences between the paper's text, which is the default, and its released code, by name.

import { NoticeError } from '../errors.ts';
import type { VisionLanguageModel } from '../models/index.ts';

/** All switches; those that concern prompts, metrics and statistics are read where they apply. */
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

/** Under `mlp-is-layer-output`, BLIP's "MLP" is the block's output after residual sum and LayerNorm. */
export function compatHook(
  model: VisionLanguageModel,
  hook: string,
  compat: readonly CompatSwitch[],
): string {
  const isMlp = model.family === 'blip' && hook.endsWith('.hook_mlp_out');
  return isMlp && compat.includes('mlp-is-layer-output')
    ? hook.replace('hook_mlp_out', 'hook_normalized_resid_post')
    : hook;
}
