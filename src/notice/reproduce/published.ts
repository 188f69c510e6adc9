// What the paper reports, read from its text, to stand beside a reproduction.

import type { HeadFunction } from '../../analysis/head-functions.ts';
import type { HeadClass } from '../../analysis/universal-heads.ts';

export const PAPER =
  'Golovanevsky et al., What Do VLMs NOTICE?, NAACL 2025, https://aclanthology.org/2025.naacl-long.571/';

/** The paper's tasks, by the names of their manifests. */
export type PaperTaskName = 'svo-probes' | 'mit-states' | 'fer';

export interface PublishedHead {
  /** "L3.H0" */
  readonly head: string;
  readonly class: HeadClass;
  /** Where the paper is at odds with itself. */
  readonly note?: string;
}

export interface PublishedFunction {
  readonly function: HeadFunction;
  /** Heads by task, judged by eye in the paper; empty where it says "N/A". */
  readonly heads: Readonly<Record<PaperTaskName, readonly string[]>>;
}

export interface PublishedResults {
  /** Id on the hub. */
  readonly model: string;
  /** Universal heads (Table 1), in the order of the print. */
  readonly heads: readonly PublishedHead[];
  /** Token whose heads were patched: those of the correct option in the prompt, or the prompt's last one. */
  readonly position: 'answer' | 'last';
  /** Exact match in per cent (Table 2). */
  readonly accuracy: Readonly<Record<PaperTaskName, number>>;
  /** Functions of universal heads, and where the paper names them. */
  readonly functions: readonly PublishedFunction[];
  readonly functionsSource: string;
  /** What else is known of the values. */
  readonly notes: readonly string[];
}

function headsOf(name: HeadClass, labels: string): PublishedHead[] {
  return labels.split(' ').map((head) => ({ head, class: name }));
}

function inEveryTask(...heads: string[]): PublishedFunction['heads'] {
  return { 'svo-probes': heads, 'mit-states': heads, fer: heads };
}

/** Multimodal heads of LLaVA that Table 1 and section 4.2 both name. */
const LLAVA_MULTIMODAL = 'L31.H27 L16.H24 L19.H15 L18.H30 L18.H10 L21.H30';

export const PUBLISHED: readonly PublishedResults[] = [
  {
    model: 'Salesforce/blip-vqa-base',
    heads: [
      { head: 'L5.H3', class: 'vision-only' },
      { head: 'L3.H0', class: 'multimodal' },
      { head: 'L0.H11', class: 'text-only' },
    ],
    position: 'answer',
    accuracy: { 'svo-probes': 16.1, 'mit-states': 44.6, fer: 66.1 },
    functions: [
      { function: 'object detection', heads: inEveryTask('L3.H0') },
      { function: 'object suppression', heads: { ...inEveryTask('L5.H3'), fer: [] } },
      { function: 'outlier suppression', heads: { ...inEveryTask('L0.H11'), fer: ['L0.H11', 'L5.H3'] } },
    ],
    functionsSource: 'Table 3',
    notes: [
      'Heads are those of the cross-attention of the text encoder, patched at the correct option.',
      "The released notebook ranks heads by P' and one row above the answer: see --compat score-p, row-before-answer.",
    ],
  },
  {
    model: 'llava-hf/llava-1.5-7b-hf',
    heads: [
      ...headsOf(
        'vision-only',
        'L15.H5 L16.H18 L14.H4 L15.H8 L18.H26 L17.H0 L17.H22 L14.H28 L19.H4 L15.H14 L17.H13 L20.H28',
      ),
      { head: 'L28.H7', class: 'multimodal', note: 'in Table 1; section 4.2 has L28.H2' },
      { head: 'L28.H2', class: 'multimodal', note: 'in section 4.2; Table 1 has L28.H7' },
      ...headsOf('multimodal', LLAVA_MULTIMODAL),
      ...headsOf('text-only', 'L22.H16 L29.H19'),
    ],
    position: 'last',
    accuracy: { 'svo-probes': 40.89, 'mit-states': 67.81, fer: 79.31 },
    functions: [
      {
        function: 'outlier suppression',
        heads: inEveryTask('L28.H2', 'L28.H7', ...LLAVA_MULTIMODAL.split(' ')),
      },
    ],
    functionsSource: 'section 4.3: all universal multimodal heads',
    notes: [
      'Heads are those of the self-attention of the language model, patched at "Assistant:", the prompt\'s last token.',
      'Table 1 prints L16.H24 twice and L18.H10 as "L18.10"; section 4.2 counts seven multimodal heads, Appendix G six universal ones.',
      'Mean logit differences reach 0.4 at "Assistant:"; at the correct option they are at most 0.016, and no head is universal there (Appendix G).',
      'The released code runs the model in NF4 with bfloat16 arithmetic.',
    ],
  },
];

/** The published results for a model, by its name: an id with or without revision, or a path with a folder named like it. */
export function publishedResults(name: string): PublishedResults | undefined {
  return PUBLISHED.find(({ model }) => {
    const [, ownName = ''] = model.split('/');
    return name.split(/[/\\@]|--/).includes(ownName);
  });
}
