// The prompts of a model folder: a question in a template of its family, in a text of the user's, or in the folder's own
// chat template.

import { NoticeError } from '../errors.ts';
import { CHAT, type ChatMessage, type ChatOptions, type ChatTemplate } from './chat-template.ts';
import { formatPrompt, type PromptTemplates } from './prompt.ts';

export interface PromptFormatOptions {
  /** Those of the model's family, the default first; none where the chat template says it all. */
  readonly templates: PromptTemplates;
  /** Those of the model folder. */
  readonly chats: ReadonlyMap<string, ChatTemplate>;
  /** The text that stands for an image. */
  readonly placeholder: string;
  /**
   * Name or text of the template; default the family's first, else the chat template, else the question alone. In a text that
   * names one image, as many are named as there are.
   */
  readonly template?: string | undefined;
}

export class PromptFormat {
  /** Name or text of the template. */
  readonly template: string;
  readonly #templates: PromptTemplates;
  readonly #chats: ReadonlyMap<string, ChatTemplate>;
  readonly #placeholder: string;
  /** Whether a template that names no image is what the user of a chat says. */
  readonly #chatty: boolean;

  /** @throws NoticeError('usage') if `template` is neither a name nor a text with `{question}` in it */
  constructor({ templates, chats, placeholder, template }: PromptFormatOptions) {
    const own = Object.keys(templates);
    this.#templates = { question: '{question}', ...templates };
    this.#chats = chats;
    this.#placeholder = placeholder;
    this.#chatty = own.length === 0 && chats.size > 0;
    this.template = template ?? own[0] ?? [...chats.keys()][0] ?? 'question';
    const names = [...Object.keys(this.#templates), ...chats.keys()];
    if (names.includes(this.template) || this.template.includes('{question}')) return;
    throw new NoticeError(
      'usage',
      `Prompt template ${JSON.stringify(this.template)}: expected ${names.join(', ')} or a text with {question} in it.`,
    );
  }

  /**
   * A prompt's text. A question that holds the text that stands for an image is a whole prompt.
   *
   * @param question or messages, which the chat template puts together
   * @param pictures how many images a prompt that is put together here names
   * @throws as {@link chat}
   */
  text(question: string | readonly ChatMessage[], pictures = 1): string {
    if (typeof question !== 'string') return this.chat(question);
    if (question.includes(this.#placeholder)) return question;
    if (this.#chatOf(this.template)) return this.#ask(question, pictures);
    const text = formatPrompt(question, this.template, this.#templates, this.#placeholder);
    const named = text.split(this.#placeholder).length - 1;
    if (named === 0) return this.#chatty ? this.#ask(text, pictures) : text;
    return named === 1 ? text.replace(this.#placeholder, () => this.#placeholder.repeat(pictures)) : text;
  }

  /**
   * Messages in the chat template.
   *
   * @throws NoticeError('config') if there is none, or it fails; ('text') if it refuses the messages
   */
  chat(messages: readonly ChatMessage[], options?: ChatOptions): string {
    const chat = this.#chatOf(this.template) ?? this.#chats.get(CHAT);
    if (chat) return chat.render(messages, options);
    throw new NoticeError(
      'config',
      'The model folder has no chat template: neither chat_template.json or chat_template.jinja, nor one in ' +
        'processor_config.json or tokenizer_config.json.',
    );
  }

  /** What follows the question: its end decides how the answer's first token is cut. */
  get context(): string {
    const after = this.text('\u0000').split('\u0000').at(-1)!;
    // A model writes the space before its answer itself, but no line break.
    return after.trim() === '' ? after.replace(/[^\n]/g, '') : after.trimStart().replace(/[^\S\n]+$/, '');
  }

  /** Names of the family's own templates go first. */
  #chatOf(template: string): ChatTemplate | undefined {
    return Object.hasOwn(this.#templates, template) ? undefined : this.#chats.get(template);
  }

  #ask(text: string, pictures: number): string {
    const images = Array.from({ length: pictures }, () => ({ type: 'image' }) as const);
    return this.chat([{ role: 'user', content: [...images, { type: 'text', text }] }]);
  }
}
