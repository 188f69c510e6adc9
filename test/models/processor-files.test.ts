import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import type { ChatMessage } from '../../src/inputs/index.ts';
import { parseBlipConfig } from '../../src/models/blip/config.ts';
import { Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import { MemoryFolder } from '../weights/support.ts';

const file = (path: string) =>
  readFileSync(new URL(`../../weights/blip-shapes/${path}`, import.meta.url), 'utf8');
const TOKENIZER = { 'tokenizer.json': file('tokenizer.json') };
const settings = JSON.parse(file('preprocessor_config.json')) as Record<string, unknown>;
const model = { templates: {} } as VisionLanguageModel; // of which nothing else is read

const load = (files: Record<string, unknown>) => {
  const texts = Object.entries(files).map(([name, json]) => [name, JSON.stringify(json)]);
  return Processor.load(model, new MemoryFolder({ ...TOKENIZER, ...Object.fromEntries(texts) }));
};

it('reads the image processor that transformers 5 puts into processor_config.json, before any other', async () => {
  const old = { ...settings, size: { height: 32, width: 32 } };
  const expected = (await load({ 'preprocessor_config.json': settings })).images.settings;
  const nested = { processor_class: 'BlipProcessor', image_processor: settings };
  expect((await load({ 'processor_config.json': nested })).images.settings).toEqual(expected);
  const both = { 'processor_config.json': nested, 'preprocessor_config.json': old };
  expect((await load(both)).images.settings).toEqual(expected);
  const without = { 'processor_config.json': { patch_size: 8 }, 'preprocessor_config.json': settings };
  expect((await load(without)).images.settings).toEqual(expected);
});

it('names the file of what is wrong', async () => {
  await expect(load({ 'processor_config.json': { image_processor: [] } })).rejects.toThrow(
    'folder/processor_config.json: image_processor: expected a JSON object',
  );
  await expect(load({})).rejects.toThrow('folder has no preprocessor_config.json');
});

it('finds the processor class beside or around the image processor', async () => {
  const backend = async (files: Record<string, unknown>) => (await load(files)).images.settings.backend;
  const { processor_class: _, ...nameless } = settings;
  const named = { processor_class: 'InstructBlipProcessor' };
  expect(await backend({ 'preprocessor_config.json': nameless, 'processor_config.json': named })).toBe(
    'torchvision',
  );
  expect(await backend({ 'processor_config.json': { ...named, image_processor: nameless } })).toBe(
    'torchvision',
  );
  expect(await backend({ 'preprocessor_config.json': nameless })).toBe('pil-12');
});

it('asks in the chat template of the folder where the family has no template, one question or several turns', async () => {
  const chat_template =
    '{% for m in messages %}{{ m.role }}: {% for p in m.content %}{{ p.text or "<image>" }} {% endfor %}{% endfor %}so';
  const files = { 'preprocessor_config.json': settings, 'chat_template.json': { chat_template } };
  const processor = await load(files);
  expect(processor.template).toBe('chat');
  expect(processor.encode('is it red?').text).toBe('user: <image> is it red? so');
  expect(processor.encode('is it red?', 2).text).toBe('user: <image> <image> is it red? so');
  const messages: ChatMessage[] = [
    { role: 'user', content: [{ type: 'image' }, { type: 'text', text: 'red?' }] },
    { role: 'assistant', content: [{ type: 'text', text: 'no' }] },
  ];
  expect(processor.chat(messages)).toBe('user: <image> red? assistant: no so');
  expect(processor.encode(messages).text).toBe(processor.chat(messages));
  expect(processor.answerContext).toBe('so');
  const named = await load({ ...files, 'notice.json': { template: 'Q: {question}' } });
  expect(named.encode('is it red?').text).toBe('user: <image> Q: is it red? so');
  const broken = { ...files, 'chat_template.json': { chat_template: '{% for %}' } };
  await expect(load(broken)).rejects.toThrow(
    'chat_template.json: chat_template: the chat template cannot be read',
  );
});

it.each<[string, object]>([
  ['text_config: "layer_norm_eps"', { text_config: { layer_norm_eps: -1e-12 } }],
  ['vision_config: "layer_norm_eps"', { vision_config: { layer_norm_eps: '0' } }],
  ['text_config: "bos_token_id"', { text_config: { bos_token_id: -1 } }],
  ['text_config: "sep_token_id"', { text_config: { sep_token_id: 0.5 } }],
  ['vision_config: "num_attention_heads"', { vision_config: { num_attention_heads: 0 } }],
  ['text_config: "num_hidden_layers"', { text_config: { num_hidden_layers: 1e12 } }],
])("BLIP's config.json is refused with the field named: %s", (message, config) => {
  expect(() => parseBlipConfig(config)).toThrow(
    expect.objectContaining({ code: 'config', message: expect.stringContaining(message) }),
  );
});
