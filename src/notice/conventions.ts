// What the paper does with each kind of model, by the way in which it answers. BLIP has a decoder of its own, LLaVA
// continues its prompt; a model of another family is treated as the one that it is like.

import type { HeadPosition } from '../analysis/effects.ts';
import type { AnswerToken } from '../inputs/index.ts';
import type { VisionLanguageModel } from '../models/index.ts';
import type { CompatSwitch } from './compat.ts';
import type { ExactMatch } from './experiment/exact-match.ts';

export interface PaperConventions {
  /** Hook names without the block that are patched as a whole (section 4): attention, cross-attention, MLP. */
  readonly moduleSites: readonly string[];
  /** The one whose heads are patched one by one: the attention that sees the image. */
  readonly headSite: string;
  /** Where heads are patched: at the correct option's tokens; of a model that continues its prompt at the last position as well (Appendix G). */
  readonly headPositions: readonly HeadPosition[];
  /** Where attention is looked at: BLIP's from the option, LLaVA's from "ASSISTANT:". */
  readonly attentionPosition: HeadPosition;
  /**
   * Which exact match selects samples: to the letter (Appendices A and C), or but for the case of the first one, since LLaVA answers "Happy" where the question says "happy".
   */
  readonly selectsBy: ExactMatch;
  /** The paper's prompt, by the model's name for it or as a text. */
  readonly template: string;
  /** What the released code reads as an answer's token (`--compat answer-token`). */
  readonly releasedAnswerToken: AnswerToken;
  /** How far behind the option the released code patches heads, with the switch that asks for it. */
  readonly releasedHeadShift: { readonly by: CompatSwitch; readonly tokens: number };
  /** Whether the released code pads the shorter of two questions (`unmasked-padding`). */
  readonly releasedPadding: boolean;
}

const ONE_WORD = 'Answer with one word.';

export function paperConventions(
  model: Pick<VisionLanguageModel, 'answers' | 'promptTower' | 'imageAttention' | 'hooks' | 'templates'>,
): PaperConventions {
  const { answers, promptTower, imageAttention } = model;
  const attends = model.hooks.some(({ name }) => name === `${promptTower}.blocks.0.cross_attn.hook_z`);
  const [imageTower] = imageAttention.split('.');
  const sites = {
    moduleSites: [
      `${promptTower}.attn.hook_z`,
      ...(attends ? [`${promptTower}.cross_attn.hook_z`] : []),
      `${promptTower}.hook_mlp_out`,
    ],
    // Heads are patched at words, so it is an attention of words: a Q-Former's queries are none.
    headSite: `${imageTower === promptTower ? imageAttention : `${promptTower}.attn`}.hook_z`,
  };
  if (answers === 'decoder')
    return {
      ...sites,
      headPositions: ['answer'],
      attentionPosition: 'answer',
      selectsBy: 'exact',
      template: paperTemplate(model.templates, '{question}'),
      releasedAnswerToken: 'first',
      // [CLS] is not counted.
      releasedHeadShift: { by: 'row-before-answer', tokens: -1 },
      releasedPadding: true,
    };
  return {
    ...sites,
    headPositions: ['answer', 'last'],
    attentionPosition: 'last',
    selectsBy: 'first-letter',
    template: paperTemplate(model.templates, `{question} ${ONE_WORD}`),
    releasedAnswerToken: 'last',
    // The formatting tokens before the question are counted twice.
    releasedHeadShift: { by: 'head-offset', tokens: 8 },
    releasedPadding: false,
  };
}

/** The family's template with the paper's question in it. */
function paperTemplate(templates: VisionLanguageModel['templates'], question: string): string {
  const [usual = '{question}'] = Object.values(templates);
  const text = usual.replace('{question}', question);
  return Object.entries(templates).find(([, known]) => known === text)?.[0] ?? text;
}
