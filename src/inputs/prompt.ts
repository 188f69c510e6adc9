import { NoticeError } from '../errors.ts';

/** Prompt templates by name; `{question}` is where the question goes. */
export type PromptTemplates = Readonly<Record<string, string>>;

/**
 * Puts a question into a template. A question that already holds the image token is a whole prompt and is returned
 * as it is.
 *
 * @param template a text with `{question}` in it, or a name among `templates`
 * @throws NoticeError('usage') if `template` is neither
 */
export function formatPrompt(
  question: string,
  template: string,
  templates: PromptTemplates = {},
  imageToken = '<image>',
): string {
  if (question.includes(imageToken)) return question;
  const pattern = Object.hasOwn(templates, template) ? (templates[template] as string) : template;
  if (!pattern.includes('{question}')) {
    throw new NoticeError(
      'usage',
      `Prompt template ${JSON.stringify(template)}: expected ${[...Object.keys(templates), 'a text with {question} in it'].join(' or ')}.`,
    );
  }
  return pattern.replaceAll('{question}', () => question);
}

/** A prompt whose image token stands once for every image feature. */
export interface ExpandedPrompt {
  readonly ids: number[];
  /** Position of the first image feature. */
  readonly imageStart: number;
  /** For each id before expansion its position now; for the image token that of its first feature. */
  readonly positions: number[];
}

/**
 * Makes room for the image features. Processors differ in whether they have done so already: as many image tokens
 * as features are left alone, a single one is repeated.
 *
 * @param ids [position]
 * @param imageFeatures number of features the projector makes of one image
 * @throws NoticeError('text') for any other number of image tokens
 */
export function expandImageTokens(
  ids: readonly number[],
  imageTokenId: number,
  imageFeatures: number,
): ExpandedPrompt {
  const imageStart = ids.indexOf(imageTokenId);
  const count = ids.filter((id) => id === imageTokenId).length;
  if (count === imageFeatures) return { ids: [...ids], imageStart, positions: [...ids.keys()] };
  if (count !== 1) {
    throw new NoticeError(
      'text',
      `The prompt holds the image token (id ${imageTokenId}) ${count} times; expected once, or ${imageFeatures} times, ` +
        'once for each image feature. Write <image> where the image belongs.',
    );
  }
  const added = imageFeatures - 1;
  return {
    ids: ids.flatMap((id) => (id === imageTokenId ? new Array<number>(imageFeatures).fill(id) : id)),
    imageStart,
    positions: ids.map((_, index) => (index > imageStart ? index + added : index)),
  };
}
