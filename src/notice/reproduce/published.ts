// What the paper reports, to stand beside a reproduction.
//
// The values are as quoted in the paper's released code (BLIP/circuit_analysis.ipynb names the three heads of BLIP) and in
// descriptions of the paper; they were not read off its PDF, and every use of them says so.

import type { HeadFunction } from '../../analysis/head-functions.ts';
import type { HeadClass } from '../../analysis/universal-heads.ts';

export const PAPER =
  'Golovanevsky et al., What Do VLMs NOTICE?, NAACL 2025, https://aclanthology.org/2025.naacl-long.571/';

/** To be shown with every published value. */
export const SECOND_HAND =
  "Published values are quoted from the paper's released code and from descriptions of it; check the paper before you cite them.";

export interface PublishedHead {
  /** "L3.H0" */
  readonly head: string;
  readonly class: HeadClass;
  /** Judged by eye in the paper; undefined where no single head's function is given. */
  readonly function?: HeadFunction;
}

export interface PublishedResults {
  /** Id on the hub. */
  readonly model: string;
  readonly heads: readonly PublishedHead[];
  /** Token whose heads were patched: those of the correct option in the prompt, or the prompt's last one. */
  readonly position: 'answer' | 'last';
  /** Where in the paper. */
  readonly source: string;
  /** What else is known, and where the paper is at odds with itself. */
  readonly notes: readonly string[];
  /** Published, but not known here. */
  readonly missing: readonly string[];
}

const MISSING = [
  'exact-match accuracies (Table 2)',
  'effects of single heads and modules (read off figures only)',
];

export const PUBLISHED: readonly PublishedResults[] = [
  {
    model: 'Salesforce/blip-vqa-base',
    heads: [
      { head: 'L3.H0', class: 'multimodal', function: 'object detection' },
      { head: 'L5.H3', class: 'vision-only', function: 'object suppression' },
      { head: 'L0.H11', class: 'text-only', function: 'outlier suppression' },
    ],
    position: 'answer',
    source: 'Tables 1 and 3, cross-attention heads of the text encoder',
    notes: [
      "The released notebook ranks heads by P' and one row above the answer: see --compat score-p, row-before-answer.",
    ],
    missing: MISSING,
  },
  {
    model: 'llava-hf/llava-1.5-7b-hf',
    heads: ['L28.H2', 'L31.H27', 'L18.H10', 'L16.H24', 'L21.H30', 'L19.H15', 'L18.H30'].map((head) => ({
      head,
      class: 'multimodal',
    })),
    position: 'last',
    source: 'section 4.2 and Table 1, self-attention heads of the language model at "Assistant:"',
    notes: [
      'Section 4.2 names seven heads; Appendix G speaks of six, and Table 1 has L16.H24 twice and L28.H7.',
      "At the correct option's token the paper finds no universal head and mean effects of at most 0.016 logits (Appendix G).",
      'The released code runs the model in NF4 with bfloat16 arithmetic.',
    ],
    missing: MISSING,
  },
];

/** The published results for a model, by its name: an id with or without revision, or a path with a folder named like it. */
export function publishedResults(name: string): PublishedResults | undefined {
  return PUBLISHED.find(({ model }) => {
    const [, ownName = ''] = model.split('/');
    return name.split(/[/\\@]|--/).includes(ownName);
  });
}
