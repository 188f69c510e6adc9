import { readFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  answerTokenIds,
  findOptions,
  findPhrase,
  formatPrompt,
  optionTokens,
  promptRoles,
  type Tokenizer,
} from '../../src/inputs/index.ts';
import { LLAVA_TEMPLATES } from '../../src/models/llava/llava.ts';
import { fixturePath, loadTokenizer, noticeError, projectPath, readJsonFile } from './support.ts';

const blip = loadTokenizer(fixturePath('blip-tiny'));
const llava = loadTokenizer(fixturePath('llava-tiny'));

describe('findPhrase', () => {
  const tokens = (
    tokenizer: Tokenizer,
    text: string,
    phrase: string,
    occurrence: 'only' | 'first' | 'last' = 'only',
  ) => {
    const prompt = tokenizer.encodeWithRanges(text);
    const { start, end } = findPhrase(prompt, phrase, occurrence);
    return [start, prompt.tokens.slice(start, end)];
  };

  it('gives every sub-token, whatever the case', () => {
    expect(tokens(blip, 'Is it happy or SURPRISED?', 'surprised')).toEqual([5, ['sur', '##pr', '##ised']]);
    expect(tokens(llava, 'is it angry', 'angry')).toEqual([expect.any(Number), ['▁an', 'gry']]);
  });

  it('leaves out a lone ▁ before the word', () => {
    expect(tokens(llava, 'goat or car', 'car')).toEqual([expect.any(Number), ['car']]);
  });

  it('matches whole words, and phrases over any white space', () => {
    expect(tokens(blip, 'a woman or man', 'man')[0]).toBeGreaterThan(3);
    expect(tokens(blip, 'the green\n grass', 'green grass')[1]).toEqual(['green', 'grass']);
    expect(tokens(blip, 'a car (red)', '(red)')[0]).toBe(3);
  });

  it('takes the occurrence that is asked for', () => {
    const text = 'the car or the car';
    expect(tokens(blip, text, 'car', 'first')[0]).toBe(2);
    expect(tokens(blip, text, 'car', 'last')[0]).toBe(5);
    expect(() => tokens(blip, text, 'car')).toThrow(
      noticeError('text', /"car" stands 2 times in the prompt "the car or/),
    );
    expect(() => tokens(blip, text, 'ca', 'first')).toThrow(noticeError('text', /"ca" stands 0 times/));
    expect(() => tokens(blip, text, ' ', 'first')).toThrow(noticeError('text', /stands 0 times/));
  });
});

describe('findOptions', () => {
  const slices = (text: string, correct: string, incorrect: string) => {
    const found = findOptions(text, { correct, incorrect });
    const slice = ({ start, end }: { start: number; end: number }) => `${text.slice(start, end)}@${start}`;
    return found && [slice(found.correct), slice(found.or), slice(found.incorrect)];
  };

  it.each([
    ['is a ring or star inside the ring?', 'ring', 'star', ['ring@5', 'or@10', 'star@13']],
    ['Is the ring inside the ring or star?', 'star', 'ring', ['star@31', 'or@28', 'ring@23']],
    ['car: is the car or the puppy by the car', 'car', 'puppy', ['car@12', 'or@16', 'puppy@23']],
    ['is it a car or puppy on the puppy', 'car', 'puppy', ['car@8', 'or@12', 'puppy@15']],
    ['is the woman or man here?', 'man', 'woman', ['man@16', 'or@13', 'woman@7']],
    ['is this hot or hot dog?', 'hot dog', 'hot', ['hot dog@15', 'or@12', 'hot@8']],
    ['is it trick or treat or candy?', 'candy', 'trick or treat', ['candy@24', 'or@21', 'trick or treat@6']],
    ['Is it Red or blue?', 'red', 'blue', ['Red@6', 'or@10', 'blue@13']],
    ['is it c++ (new) or c?', 'c', 'c++ (new)', ['c@19', 'or@16', 'c++ (new)@6']],
    ['left or right: is it a cat or dog on the dog?', 'dog', 'cat', ['dog@30', 'or@27', 'cat@23']],
  ])('%s', (text, correct, incorrect, expected) => {
    expect(slices(text, correct, incorrect)).toEqual(expected);
  });

  it.each([
    ['what color is it?', 'red', 'blue'],
    ['is it red and blue?', 'red', 'blue'],
    ['is the floor red, blue?', 'red', 'blue'],
    ['is it reddish or blue?', 'red', 'blue'],
    ['happy or car or sad', 'happy', 'sad'],
    ['ist es grün oder blau?', 'blau', 'grün'],
  ])('none in "%s"', (text, correct, incorrect) => {
    expect(slices(text, correct, incorrect)).toBeUndefined();
  });

  it('finds the offer wherever else the options stand', () => {
    const word = fc.constantFrom('ring', 'star', 'red ring', 'is', 'the', 'inside', 'man', 'woman', 'starry');
    const words = fc.array(word, { maxLength: 6 }).map((list) => list.join(' '));
    fc.assert(
      fc.property(words, words, fc.boolean(), fc.constantFrom('or', 'OR'), (before, after, swapped, or) => {
        const options = swapped ? ['star', 'ring'] : ['ring', 'star'];
        const [first, second] = options as [string, string];
        const start = `${before} ${first}`.trimStart().length - first.length;
        const text = `${`${before} ${first} ${or} ${second}`.trimStart()} ${after}?`;
        const found = findOptions(text, { correct: 'ring', incorrect: 'star' });
        expect(found?.[swapped ? 'incorrect' : 'correct'].start).toBe(start);
        expect(found?.[swapped ? 'correct' : 'incorrect'].start).toBe(start + first.length + 4);
      }),
    );
  });
});

describe('optionTokens', () => {
  it.each([
    ['is it surprised or happy, the surprised?', 'surprised', ['sur', '##pr', '##ised'], 3],
    ['Is the happy puppy SURPRISED or happy?', 'happy', ['happy'], 9],
  ])('%s', (text, correct, tokens, start) => {
    const incorrect = correct === 'happy' ? 'surprised' : 'happy';
    const prompt = blip.encodeWithRanges(text);
    const spans = optionTokens(prompt, { correct, incorrect });
    expect(spans.correct.start).toBe(start);
    expect(prompt.tokens.slice(spans.correct.start, spans.correct.end)).toEqual(tokens);
    expect(prompt.tokens.slice(spans.or.start, spans.or.end)).toEqual(['or']);
  });

  it('refuses prompts that do not offer both', () => {
    const found = (text: string) => () =>
      optionTokens(blip.encodeWithRanges(text), { correct: 'happy', incorrect: 'sad' });
    expect(found('is it happy and sad?')).toThrow(noticeError('text', /does not offer "happy" or "sad"/));
    expect(found('happy or neutral?')).toThrow(noticeError('text', /does not offer/));
  });
});

interface FamilyCases {
  readonly cases: readonly {
    readonly id: string;
    readonly correct_answer: string;
    readonly incorrect_answer: string;
    readonly clean: { readonly text: string };
  }[];
}

describe.each([
  ['smolvlm-tiny', ['<image>']],
  ['qwen2_5_vl-tiny', ['<|image_pad|>']],
  ['gemma3-tiny', ['<start_of_image>', '<image_soft_token>']],
  ['paligemma-tiny', ['<image>']],
  ['llava_next-tiny', ['<image>']],
  ['llava_onevision-tiny', ['<image>']],
] as const)('prompts of %s', (model, imageTokens) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  const { cases } = readJsonFile<FamilyCases>(fixturePath(`${model}/cases.json`));

  it.each(cases)('$id: image and options', ({ correct_answer, incorrect_answer, clean: { text } }) => {
    const prompt = tokenizer.encodeWithRanges(text, { startOnce: true });
    const roles = promptRoles(prompt, { correct: correct_answer, incorrect: incorrect_answer }, imageTokens);
    const textOf = (role: string) => {
      const places = prompt.ranges.filter((_, i) => roles[i] === role);
      return text.slice(places[0]?.start, places.at(-1)?.end).trim();
    };
    expect([textOf('image'), textOf('correct'), textOf('or'), textOf('incorrect')]).toEqual([
      imageTokens[0],
      correct_answer,
      'or',
      incorrect_answer,
    ]);
  });
});

it("counts Gemma's <bos> in the text as the start", () => {
  const prompt = loadTokenizer(fixturePath('gemma3-tiny')).encodeWithRanges('<bos>is it red or blue?', {
    startOnce: true,
  });
  expect(prompt.tokens.slice(0, 2)).toEqual(['<bos>', 'is']);
  expect(promptRoles(prompt, { correct: 'red', incorrect: 'blue' }).slice(0, 2)).toEqual(['start', 'rest']);
});

describe('promptRoles', () => {
  it('of a BLIP question', () => {
    const prompt = blip.encodeWithRanges('Is the person in this photo sleeping or standing?');
    const roles = promptRoles(prompt, { correct: 'standing', incorrect: 'Sleeping', noun: 'person' });
    expect(prompt.tokens.map((token, index) => `${token} ${roles[index]}`)).toEqual([
      '[CLS] start',
      'is rest',
      'the rest',
      'person noun',
      'in rest',
      'this rest',
      'photo rest',
      'sleep incorrect',
      '##ing incorrect',
      'or or',
      'stand correct',
      '##ing correct',
      '? rest',
      '[SEP] end',
    ]);
  });

  it('of a LLaVA prompt', () => {
    const prompt = llava.encodeWithRanges(
      formatPrompt('Is this person angry or surprised?', LLAVA_TEMPLATES.llava),
    );
    const roles = promptRoles(prompt, { correct: 'angry', incorrect: 'surprised', noun: 'person' });
    const played = (role: string) => prompt.tokens.filter((_, index) => roles[index] === role);
    expect(played('start')).toEqual(['<s>']);
    expect(played('image')).toEqual(['<image>']);
    expect(played('noun')).toEqual(['▁person']);
    expect(played('correct')).toEqual(['▁an', 'gry']);
    expect(played('or')).toEqual(['▁or']);
    expect(played('incorrect')).toEqual(['▁s', 'urprised']);
    expect(played('end')).toEqual([]);
  });

  it('refuses a noun that is not there, or only as an option', () => {
    const roles = (text: string) => () =>
      promptRoles(blip.encodeWithRanges(text), { correct: 'car', incorrect: 'puppy', noun: 'car' });
    expect(roles('is the car by the car or puppy?')()[3]).toBe('noun');
    expect(roles('is it a car or puppy?')).toThrow(
      noticeError('text', /The noun "car" is not in the prompt/),
    );
  });
});

// STR replaces the options in the data by others with as many BLIP tokens; LLaVA's pieces of colours and textures differ.
const UNEQUAL_LLAVA_STATES = 55;

describe.each([
  ['scenes', 0],
  ['states', UNEQUAL_LLAVA_STATES],
  ['faces', 0],
])('every prompt of data/%s.csv', (task, unequalInLlava) => {
  type Row = Record<'clean_prompt' | 'corrupt_prompt' | 'correct_answer' | 'incorrect_answer', string>;
  const rows = parse<Row>(readFileSync(projectPath(`data/${task}.csv`)), { columns: true });

  it.each([
    ['blip-shapes', '{question}', '', 0],
    ['llava-shapes', LLAVA_TEMPLATES['llava-one-word'], 'ASSISTANT:', unequalInLlava],
  ])('offers its options to %s, which tells their first tokens apart', (model, template, after, unequal) => {
    const tokenizer = loadTokenizer(projectPath(`weights/${model}`));
    expect(rows).toHaveLength(120);
    let moved = 0;
    for (const { clean_prompt, corrupt_prompt, correct_answer, incorrect_answer } of rows) {
      const options = { correct: correct_answer, incorrect: incorrect_answer };
      const prompt = tokenizer.encodeWithRanges(formatPrompt(clean_prompt, template));
      expect(prompt.ids).not.toContain(tokenizer.unknownId);
      const { correct } = optionTokens(prompt, options);
      expect(tokenizer.decode(prompt.ids.slice(correct.start, correct.end))).toBe(correct_answer);
      answerTokenIds(tokenizer, options, { after });
      const corrupt = tokenizer.encode(formatPrompt(corrupt_prompt, template));
      if (corrupt.length !== prompt.ids.length) moved++;
    }
    expect(moved).toBe(unequal);
  });
});
