// Pictures and prompts to samples of a model: the processor of a model folder.

import { NoticeError } from '../errors.ts';
import {
  type ChatMessage,
  type ChatOptions,
  type EncodedText,
  type FilledPrompt,
  fillImageTexts,
  type ImageBackend,
  ImageProcessor,
  PromptFormat,
  type RgbImage,
  readChatTemplates,
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

/** What is asked: a question, which a template is put around, a whole prompt, or the turns of a conversation. */
export type Question = string | readonly ChatMessage[];

/**
 * Makes samples of pictures and questions as the model folder's own processor does: pixel values and token ids are those of
 * Hugging Face, bit for bit.
 *
 * Pictures are {@link RgbImage}: bytes [height, width, 3]. A sample holds f32 [3, height, width] for each, or tiles or patches
 * of it, and ids [position] without padding. A question is put into the prompt template (default the folder's, else the
 * family's first, else the chat template); turns of a conversation into the chat template.
 *
 * Methods throw NoticeError('text') for a prompt that cannot be made or is too long, ('image') for pictures that are too large, or
 * more or fewer than the model takes.
 *
 * @example
 * const processor = await Processor.load(model, folder);
 * const sample = processor.sample(await readImage('picture.png'), 'is it a heart or a ring?');
 * const [answer] = await model.generate([sample]);
 * console.log(processor.answer(answer!.ids));
 */
export class Processor {
  readonly images: ImageProcessor;
  readonly tokenizer: Tokenizer;
  readonly #model: VisionLanguageModel;
  readonly #format: PromptFormat;
  readonly #instructions: Tokenizer | undefined;

  private constructor(
    model: VisionLanguageModel,
    images: ImageProcessor,
    tokenizer: Tokenizer,
    format: PromptFormat,
    instructions: Tokenizer | undefined,
  ) {
    this.#model = model;
    this.#format = format;
    this.#instructions = instructions;
    this.images = images;
    this.tokenizer = tokenizer;
  }

  /**
   * Reads processor_config.json (the image processor that transformers 5 writes into it) or preprocessor_config.json,
   * tokenizer.json, tokenizer_config.json, the chat template (processor_config.json, chat_template.json,
   * chat_template.jinja or tokenizer_config.json), and notice.json if there is one: it names the prompt template
   * (`{"template": "llava-one-word"}`) of a model that was trained with another than its family's.
   *
   * @param template name or text of the prompt template (docs/library.md); default that of notice.json, else the family's
   *   first, else the chat template
   * @param backend whose resizing of pictures is done; default as the folder and the family have it
   * @throws NoticeError('config'), ('usage') if there is no such template, ModelFileError
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
    const chats = readChatTemplates({
      processor: await text('processor_config.json'),
      json: await text('chat_template.json'),
      jinja: await text('chat_template.jinja'),
      tokenizer: await text('tokenizer_config.json'),
    });
    const format = new PromptFormat({
      templates: model.templates,
      chats,
      placeholder: placeholderOf(model),
      template: template ?? (await ownTemplate(source)),
    });
    const { instructionTokenizer: folder } = model;
    const instructions = folder === undefined ? undefined : await tokenizer(`${folder}/`);
    return new Processor(model, images, await tokenizer(), format, instructions);
  }

  /** Name or text of the prompt template. */
  get template(): string {
    return this.#format.template;
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

  /**
   * The text of messages in the chat template of the model folder.
   *
   * @throws NoticeError('config') if the folder has none, or it fails; ('text') if it refuses the messages
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): string {
    return this.#format.chat(messages, options);
  }

  /**
   * The tokens of a question in the model's template, or of messages in its chat template; a text that holds what stands for
   * an image is a whole prompt. One that begins with the text of the start token (`<bos>`) gets no second one.
   *
   * @param pictures how many images the template is to name
   */
  encode(question: Question, pictures = 1): EncodedText {
    const text = this.#format.text(question, pictures);
    return this.#encodeWhole(this.#model.completePrompt?.(text) ?? text);
  }

  #encodeWhole(text: string): EncodedText {
    const options = this.#model.completePrompt ? { specialTokens: false } : { startOnce: true };
    return this.tokenizer.encodeWithRanges(text, options);
  }

  /** The tokens of a prompt that stand for an image, or for a feature of one. */
  get imageTokens(): readonly string[] {
    const { imageToken } = this.#model;
    const feature = imageToken === undefined ? undefined : this.tokenizer.idToToken(imageToken);
    return [placeholderOf(this.#model), ...(feature === undefined ? [] : [feature])];
  }

  /**
   * A question in the model's template, with room for its images.
   *
   * @param images may be left out where all images have as many features
   * @throws NoticeError('text') if it has too many tokens, or not one image token for each image where the model needs
   *   them; ('image') for more or fewer images than the model takes
   */
  prompt(question: Question, images?: readonly ImageInput[]): PreparedPrompt {
    const encoded = this.encode(question, images?.length);
    const instruction = this.#instructions?.encode(encoded.text);
    const model = this.#model;
    if (!model.imageText) return { encoded, instruction, ...model.expand(encoded.ids, images) };
    const shown = images ?? [model.blankImage()];
    const placeholder = placeholderOf(model);
    const texts = shown.map((image) => model.imageText?.(image) ?? '');
    const filled = fillImageTexts(encoded.text, placeholder, texts);
    const whole = this.#encodeWhole(filled.text);
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
    question: Question,
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
    return this.#model.answers === 'decoder' ? '' : this.#format.context;
  }
}

/** The text that stands for an image in a prompt. */
function placeholderOf({ imagePlaceholder = '<image>' }: VisionLanguageModel): string {
  return imagePlaceholder;
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
    inProcessor: true,
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
