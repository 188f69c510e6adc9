import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  type ChatMessage,
  type ChatOptions,
  ChatTemplate,
  type ContentPart,
  PromptFormat,
  readChatTemplates,
} from '../../src/inputs/index.ts';
import { fixturePath, loadTokenizer, noticeError, readJsonFile } from './support.ts';

interface Cases {
  readonly answer_after: string;
  readonly answer_space: boolean;
  readonly add_special_tokens?: boolean;
  readonly cases: readonly {
    readonly id: string;
    readonly clean: Prompt;
    readonly corrupt: Prompt;
  }[];
}
interface Prompt {
  readonly question: string;
  readonly text: string;
  readonly input_ids: readonly number[];
}

/** What stands for an image in each family's prompts. */
const FAMILIES = {
  'smolvlm-tiny': '<image>',
  'idefics3-tiny': '<image>',
  'qwen2_vl-tiny': '<|image_pad|>',
  'qwen2_5_vl-tiny': '<|image_pad|>',
  'qwen3_vl-tiny': '<|image_pad|>',
  'gemma3-tiny': '<start_of_image>',
  'llava_next-tiny': '<image>',
  'llava_onevision-tiny': '<image>',
};

function readIf(path: string): string | undefined {
  return existsSync(fixturePath(path)) ? readFileSync(fixturePath(path), 'utf8') : undefined;
}

function formatOf(model: string, placeholder: string, template?: string): PromptFormat {
  const chats = readChatTemplates({
    json: readIf(`${model}/chat_template.json`),
    tokenizer: readIf(`${model}/tokenizer_config.json`),
  });
  return new PromptFormat({ templates: {}, chats, placeholder, template });
}

describe.each(Object.entries(FAMILIES))('%s: prompts of cases.json', (model, placeholder) => {
  const { cases, answer_after, answer_space } = readJsonFile<Cases>(fixturePath(`${model}/cases.json`));
  const format = formatOf(model, placeholder);
  const tokenizer = loadTokenizer(fixturePath(model));

  it.each(cases)('$id: text, ids, context', ({ clean, corrupt }) => {
    for (const { question, text, input_ids } of [clean, corrupt]) {
      expect(format.text(question)).toBe(text);
      expect(tokenizer.encodeWithRanges(text, { startOnce: true }).ids).toEqual(input_ids);
      expect(text.endsWith(format.context)).toBe(true);
    }
  });

  it('knows what an answer continues', () => {
    expect(format.template).toBe('chat');
    expect(format.context.endsWith(answer_after)).toBe(true);
    expect(/\n$/.test(format.context)).toBe(!answer_space);
  });

  it('is the same from tokenizer_config.json, where that has it', () => {
    const config = readIf(`${model}/tokenizer_config.json`)!;
    if (!config.includes('"chat_template"')) return;
    const chats = readChatTemplates({ tokenizer: config });
    const other = new PromptFormat({ templates: {}, chats, placeholder });
    for (const { clean } of cases) expect(other.text(clean.question)).toBe(clean.text);
  });

  it('names as many images as there are', () => {
    const text = format.text('Which is red?', 3);
    expect(text.split(placeholder)).toHaveLength(4);
  });
});

interface Rendered extends Required<Pick<ChatOptions, 'addGenerationPrompt'>> {
  readonly messages: readonly ChatMessage[];
  readonly text: string;
}

const { families } = readJsonFile<{ families: Record<string, Rendered[]> }>(
  fixturePath('chat-templates/expected.json'),
);

it.each(Object.entries(families))('%s: random conversations as transformers', (model, rows) => {
  const format = formatOf(model, '<image>');
  for (const { messages, addGenerationPrompt, text } of rows) {
    expect(format.chat(messages, { addGenerationPrompt })).toBe(text);
  }
});

describe('prompts by a template', () => {
  const format = (template?: string) => formatOf('smolvlm-tiny', '<image>', template);

  it('whole, where it names the image', () => {
    expect(format('<image>\n{question} A:').text('Red?')).toBe('<image>\nRed? A:');
    expect(format('<image>\n{question} A:').text('Red?', 2)).toBe('<image><image>\nRed? A:');
    expect(format('<image> or <image>? {question}').text('Red?', 2)).toBe('<image> or <image>? Red?');
    expect(format().text('Q: <image> red?')).toBe('Q: <image> red?');
  });

  it('as what the user says, where it does not', () => {
    const text = '<|im_start|>User:<image>Red? Answer with one word.<end_of_utterance>\nAssistant:';
    expect(format('{question} Answer with one word.').text('Red?')).toBe(text);
  });

  it("of the family go before the folder's", () => {
    const chats = readChatTemplates({ json: readIf('llava_next-tiny/chat_template.json') });
    const templates = { plain: 'USER: <image> {question}' };
    const own = new PromptFormat({ templates, chats, placeholder: '<image>' });
    expect([own.template, own.text('Red?')]).toEqual(['plain', 'USER: <image> Red?']);
    const chat = new PromptFormat({ templates, chats, placeholder: '<image>', template: 'chat' });
    expect(chat.text('Red?')).toBe('[INST] <image>\nRed? [/INST]');
  });

  it('that does not exist is refused, with those that do', () => {
    expect(() => format('lava')).toThrow(
      noticeError('usage', /"lava": expected question, chat or a text with \{question\}/),
    );
    const none = new PromptFormat({ templates: {}, chats: new Map(), placeholder: '<image>' });
    expect([none.template, none.text('Red?')]).toEqual(['question', 'Red?']);
    expect(() => none.chat([])).toThrow(noticeError('config', /no chat template/));
  });
});

describe('conversations', () => {
  const user = (text: string): ChatMessage => ({
    role: 'user',
    content: [{ type: 'image' }, { type: 'text', text }],
  });
  const assistant = (text: string): ChatMessage => ({ role: 'assistant', content: [{ type: 'text', text }] });

  it.each([
    [
      'smolvlm-tiny',
      '<|im_start|>User:<image>Red?<end_of_utterance>\nAssistant: Yes<end_of_utterance>\nUser:<image>Now?<end_of_utterance>\nAssistant:',
    ],
    [
      'gemma3-tiny',
      '<bos><start_of_turn>user\n<start_of_image>Red?<end_of_turn>\n<start_of_turn>model\nYes<end_of_turn>\n<start_of_turn>user\n<start_of_image>Now?<end_of_turn>\n<start_of_turn>model\n',
    ],
    // Its {% generation %} tags leave no trace.
    [
      'llava_onevision-tiny',
      '<|im_start|>user <image>\nRed?<|im_end|><|im_start|>assistant \nYes<|im_end|><|im_start|>user <image>\nNow?<|im_end|><|im_start|>assistant\n',
    ],
    ['llava_next-tiny', '[INST] <image>\nRed? [/INST] Yes</s> [INST] <image>\nNow? [/INST]'],
  ] as const)('%s', (model, expected) => {
    const format = formatOf(model, FAMILIES[model]);
    expect(format.text([user('Red?'), assistant('Yes'), user('Now?')])).toBe(expected);
  });

  it('may end with an answer, and set variables', () => {
    const format = formatOf('qwen2_vl-tiny', '<|image_pad|>');
    const text = format.chat([user('Red?'), assistant('Yes')], {
      addGenerationPrompt: false,
      variables: { add_vision_id: true },
    });
    expect(text).toBe(
      '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nPicture 1: ' +
        '<|vision_start|><|image_pad|><|vision_end|>Red?<|im_end|>\n<|im_start|>assistant\nYes<|im_end|>\n',
    );
  });

  it('that the template refuses', () => {
    const format = formatOf('gemma3-tiny', '<start_of_image>');
    expect(() => format.chat([user('Red?'), user('Red?')])).toThrow(
      noticeError('text', /^chat_template\.json: .* refuses the messages: Conversation roles must alternate/),
    );
  });

  it('with a video are refused, whatever the template would write', () => {
    const format = formatOf('smolvlm-tiny', '<image>');
    const video = { type: 'video' } as unknown as ContentPart;
    expect(() => format.chat([{ role: 'user', content: [video, { type: 'text', text: 'Red?' }] }])).toThrow(
      noticeError('text', /part of type "video"; only texts and images are read/),
    );
  });

  it('whose text would be lost are refused', () => {
    const deaf = new ChatTemplate(
      '{% for m in messages %}{{ m.role }}{% endfor %}',
      {},
      'chat_template.jinja',
    );
    expect(() => deaf.render([user('Red?')])).toThrow(
      noticeError('text', /leaves out the user's text "Red\?".*list of parts/),
    );
    const format = formatOf('smolvlm-tiny', '<image>');
    expect(() => format.chat([{ role: 'user', content: 'Red?' }])).toThrow(
      noticeError('config', /^chat_template\.json: .* fails: Expected iterable/),
    );
  });
});

describe('files', () => {
  const named = [
    { name: 'default', template: 'D' },
    { name: 'rag', template: 'R' },
  ];

  it('go in the order in which transformers takes them', () => {
    const all = {
      processor: '{"chat_template": "processor"}',
      json: '{"chat_template": "json"}',
      jinja: 'jinja',
      tokenizer: '{"chat_template": "tokenizer"}',
    };
    const first = (files: object) => readChatTemplates(files).get('chat')!.render([]);
    expect(first(all)).toBe('processor');
    expect(first({ ...all, processor: '{}' })).toBe('json');
    expect(first({ ...all, processor: undefined, json: undefined })).toBe('jinja');
    expect(first({ tokenizer: all.tokenizer })).toBe('tokenizer');
    expect(readChatTemplates({ tokenizer: '{}' }).size).toBe(0);
  });

  it('may hold several by name', () => {
    const chats = readChatTemplates({ tokenizer: JSON.stringify({ chat_template: named }) });
    expect([...chats].map(([name, chat]) => [name, chat.render([])])).toEqual([
      ['chat', 'D'],
      ['rag', 'R'],
    ]);
  });

  it('give templates their special tokens', () => {
    const config = {
      bos_token: '<s>',
      eos_token: { content: '</s>' },
      pad_token: null,
      extra_special_tokens: { image_token: '<img>' },
      chat_template: '{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ image_token }}',
    };
    const chat = readChatTemplates({ tokenizer: JSON.stringify(config) }).get('chat')!;
    expect(chat.render([])).toBe('<s></s><img>');
  });

  it.each<[object, RegExp]>([
    [{ jinja: `{{ ${'['.repeat(20_000)}` }, /cannot be read: it is nested too deeply/],
    [{ jinja: 'x'.repeat(65_537) }, /cannot be read: it has more than 65536 characters/],
  ])('refuses what is too long', (files, message) => {
    expect(() => readChatTemplates(files)).toThrow(noticeError('config', message));
  });

  it.each<[object, RegExp]>([
    [{ json: '{' }, /^chat_template\.json is not valid JSON/],
    [{ json: '[]' }, /^chat_template\.json: expected a JSON object/],
    [{ json: '{"chat_template": 3}' }, /^chat_template\.json: chat_template is neither a text nor a list/],
    [
      { tokenizer: '{"chat_template": [{"name": "a"}]}' },
      /^tokenizer_config\.json: chat_template is neither/,
    ],
    [{ jinja: '{% if x %}' }, /^chat_template\.jinja: the chat template cannot be read: /],
    [{ jinja: '{{ x' }, /^chat_template\.jinja: the chat template cannot be read: /],
    [
      { tokenizer: JSON.stringify({ chat_template: [named[0], { name: 'b', template: '{% x %}' }] }) },
      /chat_template\[1\]: the chat template cannot be read/,
    ],
  ])('refuses %j', (files, message) => {
    expect(() => readChatTemplates(files)).toThrow(noticeError('config', message));
  });
});

describe('templates that fail', () => {
  const render = (text: string) => () => new ChatTemplate(text, {}, 'chat_template.jinja').render([]);

  it.each([
    ['{{ messages | shout }}', /the chat template fails: Unknown ArrayValue filter: shout/],
    ['{{ nobody() }}', /fails: Cannot call something that is not a function/],
    ['{% break %}', /fails: /],
    ["{{ strftime_now('%Q') }}", /strftime_now does not know %Q/],
  ])('%s', (text, message) => {
    expect(render(text)).toThrow(noticeError('config', message));
  });

  const doubled = (first: string, next: string) =>
    `{% set ns = namespace(x=${first}) %}{% for i in range(60) %}{% set ns.x = ${next} %}{% endfor %}{{ ns.x }}`;

  it.each([
    [
      'a long loop',
      '{% for i in range(9999) %}{% for j in range(9999) %}{{ i * j }}{% endfor %}{% endfor %}',
    ],
    ['an empty loop', '{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}'],
    ['a long range', '{{ range(10 ** 12) }}'],
    ['a range of small steps', '{{ range(0, 1, 0.0000001) }}'],
    ['a macro that calls itself', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}'],
    [
      'a macro that calls itself twice',
      `${'{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}'}{{ f(60) }}`,
    ],
    ['doubled text', doubled("'x'", 'ns.x ~ ns.x')],
    ['doubled lists', doubled('[1]', 'ns.x + ns.x')],
    ['nested lists', doubled('[1]', '[ns.x, ns.x]')],
    ['a namespace in itself', "{% set ns = namespace(x=1) %}{% set ns.x = [ns] %}{{ ns.x ~ '' }}"],
    [
      'long text in a loop',
      `{% set x = '${'x'.repeat(50_000)}' %}{% for i in range(5000) %}{{ x | upper | length }}{% endfor %}`,
    ],
    ['a long replacement', doubled("'x'", "ns.x.replace('x', 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx')")],
    ['a wide indent', "{{ 'a\\nb' | indent(2000000) }}"],
    [
      'nested namespaces',
      `{% set ns = namespace(a=1, b=1) %}${'{% set ns = namespace(a=ns, b=ns) %}'.repeat(60)}{{ ns }}`,
    ],
  ])('end: %s', (_, text) => {
    expect(render(text)).toThrow(
      noticeError('config', /the chat template fails: (it|a range|range|Cannot call) /),
    );
  });

  it('is none: a hundred long turns', () => {
    const [model] = ['gemma3-tiny'];
    const format = formatOf(model!, '<start_of_image>');
    const messages = Array.from({ length: 100 }, (_, i): ChatMessage => {
      const text = `${i} ${'word '.repeat(400)}`;
      return { role: i % 2 ? 'assistant' : 'user', content: [{ type: 'text', text }] };
    });
    expect(format.text(messages).length).toBeGreaterThan(200_000);
  });
});

it('writes the date as Python does in the C locale', () => {
  const format = '%Y-%m-%d %d %b %B %y %a %A %H:%I:%M:%S %p %%';
  const chat = new ChatTemplate(`{{ strftime_now('${format}') }}`, {}, 'x');
  expect(chat.render([], { now: new Date(2026, 2, 1, 15, 4, 9) })).toBe(
    '2026-03-01 01 Mar March 26 Sun Sunday 15:03:04:09 PM %',
  );
});
