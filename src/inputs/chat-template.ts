// Chat templates of model folders: messages to the text of a prompt, as transformers' `apply_chat_template` makes it.

import { NoticeError } from '../errors.ts';
import { JinjaTemplate, TemplateException } from './jinja.ts';
import { parseJsonObject } from './json-object.ts';

export type ContentPart = { readonly type: 'text'; readonly text: string } | { readonly type: 'image' };

/** One turn. Templates of models that see write a text alone (`content: '…'`) only if they provide for it. */
export interface ChatMessage {
  /** `user`, `assistant` or `system`. */
  readonly role: string;
  readonly content: string | readonly ContentPart[];
}

export interface ChatOptions {
  /** Whether the prompt ends where the assistant's answer begins; default true. */
  readonly addGenerationPrompt?: boolean;
  /** Further variables of the template, such as `add_vision_id` of Qwen's. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** The time that a template may write into the prompt (`strftime_now`); default now. */
  readonly now?: Date;
}

/** Texts of the files of a model folder that may hold chat templates; undefined if the folder has no such file. */
export interface ChatTemplateFiles {
  /** processor_config.json */
  readonly processor?: string | undefined;
  /** chat_template.json */
  readonly json?: string | undefined;
  /** chat_template.jinja */
  readonly jinja?: string | undefined;
  /** tokenizer_config.json, which also has the special tokens that templates write. */
  readonly tokenizer?: string | undefined;
}

/** The name of the template that is used unless another is asked for; files call it `default`, or give it no name. */
export const CHAT = 'chat';

export class ChatTemplate {
  readonly #template: JinjaTemplate;
  readonly #tokens: Readonly<Record<string, string>>;
  readonly #where: string;

  /**
   * @param tokens special tokens by the names that templates have for them, `bos_token`
   * @param where file and field, for messages
   * @throws NoticeError('config') if it is no Jinja, or beyond the limits (docs/reliability.md)
   */
  constructor(text: string, tokens: Readonly<Record<string, string>>, where: string) {
    this.#tokens = tokens;
    this.#where = where;
    try {
      this.#template = new JinjaTemplate(text);
    } catch (cause) {
      throw new NoticeError('config', `${where}: the chat template cannot be read: ${said(cause)}.`, {
        cause,
      });
    }
  }

  /**
   * @throws NoticeError('text') for a part that is neither text nor image, such as a video, if the template refuses the
   *   messages, or leaves out what a user says; ('config') if it fails or goes beyond the limits
   */
  render(
    messages: readonly ChatMessage[],
    { addGenerationPrompt = true, variables = {}, now = new Date() }: ChatOptions = {},
  ): string {
    refuseOtherParts(messages);
    const values = { messages, add_generation_prompt: addGenerationPrompt, tools: null, documents: null };
    const text = this.#run({ ...this.#tokens, ...values, ...variables }, now);
    for (const said of messages.filter(({ role }) => role === 'user').flatMap(textsOf)) {
      if (text.includes(said.trim())) continue;
      throw new NoticeError(
        'text',
        `${this.#where}: the chat template leaves out the user's text ${JSON.stringify(said)}; it may expect the content ` +
          'as a list of parts, or as a text.',
      );
    }
    return text;
  }

  #run(variables: Readonly<Record<string, unknown>>, now: Date): string {
    try {
      return this.#template.render(variables, now);
    } catch (cause) {
      if (cause instanceof TemplateException)
        throw new NoticeError(
          'text',
          `${this.#where}: the chat template refuses the messages: ${cause.message}`,
          {
            cause,
          },
        );
      throw new NoticeError('config', `${this.#where}: the chat template fails: ${said(cause)}.`, { cause });
    }
  }
}

/** Templates may write what the model then cannot be given: `<video>`. */
function refuseOtherParts(messages: readonly ChatMessage[]): void {
  for (const { content } of messages)
    for (const { type } of typeof content === 'string' ? [] : (content as readonly { type?: unknown }[]))
      if (type !== 'text' && type !== 'image')
        throw new NoticeError(
          'text',
          `A message has a part of type ${JSON.stringify(type)}; only texts and images are read.`,
        );
}

function textsOf({ content }: ChatMessage): string[] {
  if (typeof content === 'string') return [content];
  return content.flatMap((part) => (part.type === 'text' ? [part.text] : []));
}

function said(cause: unknown): string {
  if (cause instanceof RangeError) return 'it is nested too deeply, or makes too much text';
  return (cause as Error).message || String(cause);
}

/**
 * The chat templates of a model folder by name, from the first of its files that has any: a processor's own, as transformers
 * takes them, before the tokenizer's.
 *
 * @throws NoticeError('config') naming the file and the field
 */
export function readChatTemplates(files: ChatTemplateFiles): ReadonlyMap<string, ChatTemplate> {
  const objectOf = (text = '{}', file: string) => parseJsonObject(text, file);
  const config = objectOf(files.tokenizer, 'tokenizer_config.json');
  const tokens = specialTokens(config);
  const places = [
    [
      objectOf(files.processor, 'processor_config.json').chat_template,
      'processor_config.json: chat_template',
    ],
    [objectOf(files.json, 'chat_template.json').chat_template, 'chat_template.json: chat_template'],
    [files.jinja, 'chat_template.jinja'],
    [config.chat_template, 'tokenizer_config.json: chat_template'],
  ] as const;
  const [found, where] = places.find(([value]) => value !== undefined && value !== null) ?? [[], ''];
  const named = typeof found === 'string' ? [{ name: 'default', template: found }] : found;
  const expected = `${where} is neither a text nor a list of { name, template }.`;
  if (!Array.isArray(named)) throw new NoticeError('config', expected);
  return new Map(
    named.map((entry: unknown, i) => {
      const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown };
      if (typeof name !== 'string' || typeof template !== 'string') throw new NoticeError('config', expected);
      return [
        name === 'default' ? CHAT : name,
        new ChatTemplate(template, tokens, named.length > 1 ? `${where}[${i}]` : where),
      ];
    }),
  );
}

/** `bos_token`, `image_token` and others of tokenizer_config.json, as transformers hands them to a template. */
function specialTokens({
  extra_special_tokens: extra,
  ...config
}: Record<string, unknown>): Record<string, string> {
  const fields = Object.entries({
    ...config,
    ...(Array.isArray(extra) ? {} : (extra as object | undefined)),
  });
  return Object.fromEntries(
    fields.flatMap(([name, value]) => {
      const content = (value as { content?: unknown } | null)?.content ?? value;
      return name.endsWith('_token') && typeof content === 'string' ? [[name, content]] : [];
    }),
  );
}
