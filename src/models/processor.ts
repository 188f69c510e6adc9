// Pictures and prompts to samples of a model: the processor of a model folder.

import { NoticeError } from '../errors.ts';
import {
  type EncodedText,
  type FilledPrompt,
  fillImageTexts,
  formatPrompt,
  type ImageBackend,
  ImageProcessor,
  type PromptTemplates,
  type RgbImage,
  Tokenizer,
} from '../inputs/index.ts';
import { hasFile, type ModelSource, readJson, readText } from '../weights/index.ts';
import type { ImageInput } from './image-input.ts';
import type { VisionLanguageModel } from './model.ts';
import { ProcessedSample } from './sample.ts';

/** A prompt as the model reads it. */
export interface PreparedPrompt {
  /** Tokens before the image token is expanded. */
  readonly encoded: EncodedText;
  /** As the prompt's tower sees them. */
  readonly ids: readonly number[];
  /** As {@link Sample.instruction} has it. */
  readonly instruction?: readonly number[] | undefined;
  /** Position in `ids` of each token of `encoded`; for the image token that of its first feature. */
  readonly positions: readonly number[];
}

export class Processor {
  readonly images: ImageProcessor;
  readonly tokenizer: Tokenizer;
  /** Name or text of the prompt template. */
  readonly template: string;
  readonly #model: VisionLanguageModel;
  readonly #templates: PromptTemplates;
  readonly #instructions: Tokenizer | undefined;

  private constructor(
    model: VisionLanguageModel,
    images: ImageProcessor,
    tokenizer: Tokenizer,
    template: string,
    instructions: Tokenizer | undefined,
  ) {
    this.#model = model;
    this.#instructions = instructions;
    this.#templates = { question: '{question}', ...model.templates };
    this.images = images;
    this.tokenizer = tokenizer;
    this.template = template;
  }

  /**
   * Reads processor_config.json (the image processor that transformers 5 writes into it) or preprocessor_config.json,
   * tokenizer.json, tokenizer_config.json, and notice.json if there is one: it names the prompt template
   * (`{"template": "llava-one-word"}`) of a model that was trained with another than its family's.
   *
   * @param template name or text of the prompt template; default that of notice.json, or else the family's first
   * @param backend whose resizing of pictures is done; default as the folder and the family have it
   * @throws NoticeError('config'), ModelFileError
   */
  static async load(
    model: VisionLanguageModel,
    source: ModelSource,
    template?: string,
    backend?: ImageBackend,
  ): Promise<Processor> {
    const images = await imageProcessor(source, backend);
    const text = async (file: string) => ((await hasFile(source, file)) ? readText(source, file) : undefined);
    const tokenizer = async (folder = '') =>
      Tokenizer.load({
        tokenizer: await text(`${folder}tokenizer.json`),
        config: await text(`${folder}tokenizer_config.json`),
      });
    const { instructionTokenizer: folder } = model;
    const [usual = 'question'] = Object.keys(model.templates);
    return new Processor(
      model,
      images,
      await tokenizer(),
      template ?? (await ownTemplate(source)) ?? usual,
      folder === undefined ? undefined : await tokenizer(`${folder}/`),
    );
  }

  /**
   * A picture as the model reads it. Samples that hold the same result share what is computed of it.
   *
   * @param name the file's name, for messages
   * @param pictures how many pictures stand in the same prompt
   * @throws NoticeError('image')
   */
  image(picture: RgbImage, name?: string, pictures = 1): ImageInput {
    const { pixelValues, view } = this.images.process(picture, name, pictures);
    return { ...pixelValues, view };
  }

  /** The tokens of a question in the model's template; a text that holds the image token is a whole prompt. */
  encode(question: string): EncodedText {
    return this.tokenizer.encodeWithRanges(this.#format(question));
  }

  #format(question: string): string {
    return formatPrompt(question, this.template, this.#templates);
  }

  /**
   * A question in the model's template, with room for its images.
   *
   * @param images may be left out where all images have as many features
   * @throws NoticeError('text') if it has too many tokens, or not one image token for each image where the model needs
   *   them; ('image') for more or fewer images than the model takes
   */
  prompt(question: string, images?: readonly ImageInput[]): PreparedPrompt {
    const encoded = this.encode(question);
    const instruction = this.#instructions?.encode(this.#format(question));
    const model = this.#model;
    if (!model.imageText) return { encoded, instruction, ...model.expand(encoded.ids, images) };
    const shown = images ?? [model.blankImage()];
    const placeholder = model.imagePlaceholder ?? '<image>';
    const texts = shown.map((image) => model.imageText?.(image) ?? '');
    const filled = fillImageTexts(encoded.text, placeholder, texts);
    const whole = this.tokenizer.encodeWithRanges(filled.text);
    const { ids } = model.expand(whole.ids, shown);
    const positions = positionsIn(encoded, whole, filled, placeholder, model.imageToken);
    return { encoded, instruction, ids, positions };
  }

  /**
   * Pictures, or what {@link image} made of them, and a question.
   *
   * @param images one, or in the order in which the prompt names them
   * @param names the pictures' names, for messages
   * @throws as {@link image} and {@link prompt}
   */
  sample(
    images: RgbImage | ImageInput | readonly (RgbImage | ImageInput)[],
    question: string,
    names: string | readonly string[] = [],
  ): ProcessedSample {
    const given = [images].flat() as (RgbImage | ImageInput)[];
    const inputs = given.map((image, i) =>
      isPicture(image) ? this.image(image, [names].flat()[i], given.length) : image,
    );
    const { ids, instruction } = this.prompt(question, inputs);
    return new ProcessedSample(inputs, ids, instruction);
  }

  /** The text of generated tokens, without special tokens and surrounding space. */
  answer(ids: readonly number[]): string {
    return this.tokenizer.decode([...ids]).trim();
  }

  /**
   * The end of the prompt that an answer continues: what follows the question in the template, whose last word decides
   * how the answer's first token is cut. Empty for a decoder of its own.
   */
  get answerContext(): string {
    if (this.#model.answers === 'decoder') return '';
    const pattern = formatPrompt('\u0000', this.template, this.#templates);
    return (pattern.split('\u0000').at(-1) ?? '').trim();
  }
}

/** Where the tokens of a prompt stand in the prompt with its images' texts; a placeholder's at its image's first feature. */
function positionsIn(
  { text, ids, ranges }: EncodedText,
  whole: EncodedText,
  { at }: FilledPrompt,
  placeholder: string,
  imageToken: number | undefined,
): number[] {
  const first = ranges.findIndex((range) => range !== undefined);
  return ranges.map((range, i) => {
    // What the tokenizer puts around the text.
    if (!range) return i < first ? i : whole.ids.length - (ids.length - i);
    const start = at(range.start);
    const position = whole.ranges.findIndex((other) => other !== undefined && other.end > start);
    const isImage = text.slice(range.start, range.end) === placeholder;
    return isImage ? whole.ids.indexOf(imageToken as number, position) : position;
  });
}

function isPicture(image: RgbImage | ImageInput): image is RgbImage {
  return image.data instanceof Uint8Array;
}

async function imageProcessor(source: ModelSource, backend?: ImageBackend): Promise<ImageProcessor> {
  const whole = 'processor_config.json';
  const config = (await hasFile(source, whole))
    ? ((await readJson(source, whole)) as { image_processor?: unknown; processor_class?: unknown } | null)
    : null;
  const options = {
    backend,
    processorClass: typeof config?.processor_class === 'string' ? config.processor_class : undefined,
  };
  const own = config?.image_processor;
  if (own !== undefined)
    return ImageProcessor.from(own, { ...options, file: `${source.name}/${whole}: image_processor` });
  const file = 'preprocessor_config.json';
  return ImageProcessor.from(await readJson(source, file), { ...options, file: `${source.name}/${file}` });
}

/** The template that a model folder's notice.json names. */
async function ownTemplate(source: ModelSource): Promise<string | undefined> {
  if (!(await hasFile(source, 'notice.json'))) return undefined;
  const { template } = (await readJson(source, 'notice.json')) as { template?: unknown };
  if (template === undefined || typeof template === 'string') return template;
  throw new NoticeError('config', `${source.name}/notice.json: "template" should be a string`);
}
