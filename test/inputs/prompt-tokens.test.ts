import { readFileSync } from 'node:fs';
import { parse } from 'csv-parse/sync';
import { describe, expect, it } from 'vitest';
import {
  answerTokenIds,
  findOptions,
  findPhrase,
  formatPrompt,
  promptRoles,
  type Tokenizer,
} from '../../src/inputs/index.ts';
import { fixturePath, loadTokenizer, noticeError, projectPath } from './support.ts';

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
  const found = (text: string, correct: string, incorrect: string) => {
    const prompt = blip.encodeWithRanges(text);
    const spans = findOptions(prompt, { correct, incorrect });
    const start = ({ start }: { start: number }) => start;
    return [start(spans.correct), start(spans.or), start(spans.incorrect)];
  };

  it('finds both orders, and words between', () => {
    expect(found('happy or sad?', 'sad', 'happy')).toEqual([3, 2, 1]);
    expect(found('is the car or the puppy happy?', 'car', 'puppy')).toEqual([3, 4, 6]);
  });

  it('takes the pair that is offered when an option stands twice', () => {
    expect(found('car: is the car or the puppy by the car', 'car', 'puppy')).toEqual([5, 6, 8]);
    expect(found('is it a car or puppy on the puppy', 'car', 'puppy')).toEqual([4, 5, 6]);
  });

  it('refuses prompts that do not offer both', () => {
    expect(() => found('is it happy and sad?', 'happy', 'sad')).toThrow(
      noticeError('text', /does not offer "happy" or "sad"/),
    );
    expect(() => found('happy or neutral?', 'happy', 'sad')).toThrow(noticeError('text', /does not offer/));
    expect(() => found('happy or car or sad', 'happy', 'sad')).toThrow(noticeError('text', /does not offer/));
  });
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
    const prompt = llava.encodeWithRanges(formatPrompt('Is this person angry or surprised?', 'llava'));
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
    ['blip-shapes', 'question', '', 0],
    ['llava-shapes', 'llava-one-word', 'ASSISTANT:', unequalInLlava],
  ])('offers its options to %s, which tells their first tokens apart', (model, template, after, unequal) => {
    const tokenizer = loadTokenizer(projectPath(`weights/${model}`));
    expect(rows).toHaveLength(120);
    let moved = 0;
    for (const { clean_prompt, corrupt_prompt, correct_answer, incorrect_answer } of rows) {
      const options = { correct: correct_answer, incorrect: incorrect_answer };
      const prompt = tokenizer.encodeWithRanges(formatPrompt(clean_prompt, template));
      expect(prompt.ids).not.toContain(tokenizer.unknownId);
      const { correct } = findOptions(prompt, options);
      expect(tokenizer.decode(prompt.ids.slice(correct.start, correct.end))).toBe(correct_answer);
      answerTokenIds(tokenizer, options, { after });
      const corrupt = tokenizer.encode(formatPrompt(corrupt_prompt, template));
      if (corrupt.length !== prompt.ids.length) moved++;
    }
    expect(moved).toBe(unequal);
  });
});
