// The processor of a model folder, against what Hugging Face's made of the same pictures and questions.

import { describe, expect, test } from 'vitest';
import { loadModel, type PreparedPrompt, Processor, patchGrids } from '../../src/models/index.ts';
import { nodeFolder, readImage } from '../../src/platform/node/index.ts';
import { folderWith } from '../support/folder.ts';
import { fixture, Golden } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

describe.each([
  ['blip-tiny', '{question}'],
  ['llava-tiny', 'USER: <image>\n{question} ASSISTANT:'],
])('%s', async (name, usual) => {
  const folder = nodeFolder(fixture(name));
  const golden = await Golden.open(name);
  const model = await loadModel(await testGpu(), folder);
  const processor = await Processor.load(model, folder);

  test.each(golden.cases.map((c) => [c.id, c] as const))(
    '%s: picture and text to a sample',
    async (id, { clean }) => {
      const picture = await readImage(fixture(`${name}/${clean.image}`));
      const expected = golden.sample(id, 'clean');
      // The fixtures' texts are whole prompts.
      const whole = await Processor.load(model, folder, '{question}');
      const sample = whole.sample(picture, clean.text, clean.image);
      expect(sample.ids).toEqual(expected.ids);
      expect(sample.images[0]?.data).toEqual(expected.images[0]?.data);
      const made = whole.image(picture, clean.image);
      expect(whole.sample([made], clean.text)).toEqual({ ids: expected.ids, images: [made] });
      expect(whole.sample([made], clean.text).images[0]).toBe(made);
    },
  );

  test('features lie on the picture row by row, behind the class token where that is one of them', () => {
    const sample = golden.sample('case0', 'clean');
    const [grid, ...others] = patchGrids(model, sample);
    expect(others).toEqual([]);
    const side = name === 'blip-tiny' ? 6 : 5;
    expect(grid).toMatchObject({ image: 0, rows: side, columns: side });
    const first = name === 'blip-tiny' ? 1 : sample.ids.indexOf(model.imageToken as number);
    expect(grid?.keys).toEqual(Array.from({ length: side ** 2 }, (_, i) => first + i));
  });

  test('a question is asked in the template: the family’s, that of notice.json, or one that is given', async () => {
    const question = 'Is it red?';
    const ids = ({ encoded }: PreparedPrompt) => encoded.ids;
    const tokens = (text: string) => processor.tokenizer.encode(text.replace('{question}', question));
    const own = folderWith({ 'notice.json': { template: 'So: <image> {question}' } }, folder);
    expect(ids(processor.prompt(question))).toEqual(tokens(usual));
    const named = await Processor.load(model, own);
    expect(named.encode(question).ids).toEqual(tokens('So: <image> {question}'));
    const given = await Processor.load(model, own, 'question');
    expect(given.encode(question).ids).toEqual(tokens('{question}'));
    expect(processor.answerContext).toBe(name === 'blip-tiny' ? '' : 'ASSISTANT:');
    const odd = folderWith({ 'notice.json': { template: 1 } }, folder);
    await expect(Processor.load(model, odd)).rejects.toThrow('notice.json: "template" should be a string');
    expect((await Processor.load(model, folderWith({ 'notice.json': {} }, folder))).template).toBe(
      processor.template,
    );
  });
});
