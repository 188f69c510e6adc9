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

/** A prompt with the texts of its images put in. */
export interface FilledPrompt {
  readonly text: string;
  /** Where a character of the prompt stands now; for those of a placeholder, where its image's text begins. */
  at(character: number): number;
}

/**
 * Puts the text of each image in place of its placeholder.
 *
 * @throws NoticeError('text') unless there are as many placeholders as images
 */
export function fillImageTexts(prompt: string, placeholder: string, images: readonly string[]): FilledPrompt {
  const parts = prompt.split(placeholder);
  if (parts.length - 1 !== images.length)
    throw new NoticeError(
      'text',
      `The prompt holds ${placeholder} ${parts.length - 1} times; expected once for each of its images, of which there are ${images.length}.`,
    );
  let text = '';
  let from = 0;
  const pieces = parts.map((part, i) => {
    const piece = { from, to: text.length };
    text += part + (images[i] ?? '');
    from += part.length + placeholder.length;
    return { ...piece, length: part.length };
  });
  return {
    text,
    at: (character) => {
      const piece = pieces.findLast(({ from }) => from <= character) as (typeof pieces)[number];
      return piece.to + Math.min(character - piece.from, piece.length);
    },
  };
}

/** @throws NoticeError('text') if a prompt has the token that stands for a video */
export function refuseVideo(ids: readonly number[], videoToken: number | undefined): void {
  if (videoToken !== undefined && ids.includes(videoToken))
    throw new NoticeError('text', `the prompt has a video (token id ${videoToken}); only images are read`);
}

/** A prompt whose image token stands once for every feature of its images. */
export interface ExpandedPrompt {
  readonly ids: number[];
  /** For each id before expansion its position now; for the image token that of its first feature. */
  readonly positions: number[];
}

/**
 * Makes room for the features of images. Processors differ in whether they have done so already: as many image tokens as
 * there are features are left alone, one for each image is repeated.
 *
 * @param ids [position]
 * @param counts features of each image, in the order of the prompt
 * @param repeat whether one token for an image may be repeated; otherwise the text has to hold all of them
 * @throws NoticeError('text') for any other number of image tokens
 */
export function expandImageTokens(
  ids: readonly number[],
  imageTokenId: number,
  counts: readonly number[],
  { repeat = true }: { readonly repeat?: boolean } = {},
): ExpandedPrompt {
  const found = ids.filter((id) => id === imageTokenId).length;
  const features = counts.reduce((sum, count) => sum + count, 0);
  if (found === features) return { ids: [...ids], positions: [...ids.keys()] };
  if (found !== counts.length || !repeat) {
    const once = counts.length === 1 ? 'once' : `once for each of ${counts.length} images`;
    throw new NoticeError(
      'text',
      `The prompt holds the image token (id ${imageTokenId}) ${found} times; expected ${repeat ? `${once}, or ` : ''}` +
        `${features} times, once for each image feature.${repeat ? ' Write <image> where an image belongs.' : ''}`,
    );
  }
  const expanded: number[] = [];
  let image = 0;
  const positions = ids.map((id) => {
    const position = expanded.length;
    if (id === imageTokenId) expanded.push(...new Array<number>(counts[image++] as number).fill(id));
    else expanded.push(id);
    return position;
  });
  return { ids: expanded, positions };
}
