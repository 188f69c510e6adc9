// Pictures and prompts to samples of a model: the processor of a model folder.

import { NoticeError } from '../errors.ts';
import { type EncodedText, formatPrompt, ImageProcessor, type RgbImage, Tokenizer } from '../inputs/index.ts';
import { hasFile, type ModelSource, readJson, readText } from '../weights/index.ts';
import type { Sample, VisionLanguageModel } from './model.ts';

/** A prompt as the model reads it. */
export interface PreparedPrompt {
  /** Tokens before the image token is expanded. */
  readonly encoded: EncodedText;
  /** As the prompt's tower sees them. */
  readonly ids: readonly number[];
  /** Position in `ids` of each token of `encoded`; for the image token that of its first feature. */
  readonly positions: readonly number[];
}

export class Processor {
  readonly images: ImageProcessor;
  readonly tokenizer: Tokenizer;
  /** Name or text of the prompt template. */
  readonly template: string;
  readonly #model: VisionLanguageModel;

  private constructor(
    model: VisionLanguageModel,
    images: ImageProcessor,
    tokenizer: Tokenizer,
    template: string,
  ) {
    this.#model = model;
    this.images = images;
    this.tokenizer = tokenizer;
    this.template = template;
  }

  /**
   * Reads preprocessor_config.json, tokenizer.json, tokenizer_config.json, and notice.json if there is one: it names the
   * prompt template (`{"template": "llava-one-word"}`) of a model that was trained with another than its family's.
   *
   * @param template name or text of the prompt template; default that of notice.json, or else the question as it is
   *   (BLIP), or the model card's (LLaVA)
   * @throws NoticeError('config'), ModelFileError
   */
  static async load(model: VisionLanguageModel, source: ModelSource, template?: string): Promise<Processor> {
    const images = ImageProcessor.from(await readJson(source, 'preprocessor_config.json'));
    const text = async (file: string) => ((await hasFile(source, file)) ? readText(source, file) : undefined);
    const tokenizer = Tokenizer.load({
      tokenizer: await text('tokenizer.json'),
      config: await text('tokenizer_config.json'),
    });
    const family = model.family === 'llava' ? 'llava' : 'question';
    return new Processor(model, images, tokenizer, template ?? (await ownTemplate(source)) ?? family);
  }

  /**
   * A question in the model's template (a text that holds the image token is a whole prompt).
   *
   * @throws NoticeError('text') if it has too many tokens, or not one image token where the model needs one
   */
  prompt(question: string): PreparedPrompt {
    const encoded = this.tokenizer.encodeWithRanges(formatPrompt(question, this.template));
    const { ids, positions } = this.#model.expand(encoded.ids);
    return { encoded, ids, positions };
  }

  /** A picture and a question. */
  sample(image: RgbImage, question: string, name?: string): Sample {
    return { image: this.images.process(image, name).pixelValues, ids: this.prompt(question).ids };
  }

  /** The text of generated tokens, without special tokens and surrounding space. */
  answer(ids: readonly number[]): string {
    return this.tokenizer.decode([...ids]).trim();
  }

  /**
   * The end of the prompt that an answer continues: what follows the question in the template, whose last word decides
   * how the answer's first token is cut.
   */
  get answerContext(): string {
    const pattern = formatPrompt('\u0000', this.template);
    return this.#model.family === 'llava' ? (pattern.split('\u0000').at(-1) ?? '').trim() : '';
  }
}

/** The template that a model folder's notice.json names. */
async function ownTemplate(source: ModelSource): Promise<string | undefined> {
  if (!(await hasFile(source, 'notice.json'))) return undefined;
  const { template } = (await readJson(source, 'notice.json')) as { template?: unknown };
  if (template === undefined || typeof template === 'string') return template;
  throw new NoticeError('config', `${source.name}/notice.json: "template" should be a string`);
}
