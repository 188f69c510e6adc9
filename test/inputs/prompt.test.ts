import { describe, expect, it } from 'vitest';
import { expandImageTokens, fillImageTexts, formatPrompt } from '../../src/inputs/index.ts';
import { noticeError } from './support.ts';

describe('formatPrompt', () => {
  const templates = { plain: '{question}', llava: 'USER: <image>\n{question} ASSISTANT:' };

  it('fills the named templates', () => {
    expect(formatPrompt('Is it red?', 'plain', templates)).toBe('Is it red?');
    expect(formatPrompt('Is it red?', 'llava', templates)).toBe('USER: <image>\nIs it red? ASSISTANT:');
  });

  it('fills a template of the user, character by character', () => {
    expect(formatPrompt("$& $1 {question} $'", 'Q: {question} A:')).toBe("Q: $& $1 {question} $' A:");
  });

  it('takes a prompt with the image token as it is', () => {
    expect(formatPrompt('<image> Is it red?', 'llava', templates)).toBe('<image> Is it red?');
    expect(formatPrompt('<img> Is it red?', 'llava', templates, '<img>')).toBe('<img> Is it red?');
    expect(formatPrompt('<image> red?', '{question}!', templates, '<img>')).toBe('<image> red?!');
  });

  it('refuses a template without a place for the question', () => {
    expect(() => formatPrompt('Is it red?', 'lava', templates)).toThrow(
      noticeError('usage', /"lava": expected plain or llava or a text with/),
    );
    expect(() => formatPrompt('Is it red?', 'toString', templates)).toThrow(
      noticeError('usage', /"toString"/),
    );
  });
});

describe('expandImageTokens', () => {
  const IMAGE = 9;

  it('repeats a single image token', () => {
    expect(expandImageTokens([1, IMAGE, 3, 4], IMAGE, [3])).toEqual({
      ids: [1, IMAGE, IMAGE, IMAGE, 3, 4],
      positions: [0, 1, 4, 5],
    });
  });

  it('leaves a prompt alone that a processor has expanded', () => {
    const ids = [1, IMAGE, IMAGE, IMAGE, 3];
    expect(expandImageTokens(ids, IMAGE, [3])).toEqual({ ids, positions: [0, 1, 2, 3, 4] });
    expect(expandImageTokens([IMAGE, 2], IMAGE, [1])).toEqual({ ids: [IMAGE, 2], positions: [0, 1] });
  });

  it('refuses other numbers of image tokens', () => {
    expect(() => expandImageTokens([1, 2], IMAGE, [3])).toThrow(
      noticeError('text', /\(id 9\) 0 times; expected once, or 3/),
    );
    expect(() => expandImageTokens([IMAGE, IMAGE], IMAGE, [3])).toThrow(noticeError('text', /2 times/));
  });

  it('gives each of several images the room for its features', () => {
    const ids = [1, IMAGE, 2, IMAGE, IMAGE, IMAGE, 3];
    const expanded = expandImageTokens([1, IMAGE, 2, IMAGE, 3], IMAGE, [1, 3]);
    expect(expanded).toEqual({ ids, positions: [0, 1, 2, 3, 6] });
    expect(expandImageTokens(ids, IMAGE, [1, 3]).ids).toEqual(ids);
    expect(() => expandImageTokens([1, IMAGE, 2], IMAGE, [1, 3])).toThrow(
      noticeError('text', /1 times; expected once for each of 2 images, or 4 times/),
    );
  });

  it('repeats nothing where marks belong between features', () => {
    expect(() => expandImageTokens([1, IMAGE, 2], IMAGE, [3], { repeat: false })).toThrow(
      noticeError('text', /1 times; expected 3 times, once for each image feature\.$/),
    );
  });
});

describe('fillImageTexts', () => {
  it('puts texts in place of images and says where characters stand', () => {
    const { text, at } = fillImageTexts('a <i> b <i>c', '<i>', ['<<x>>', 'yy']);
    expect(text).toBe('a <<x>> b yyc');
    const before = [...'a <i> b <i>c'].map((_, i) => at(i));
    // Characters of a placeholder stand where its image's text begins.
    expect(before).toEqual([0, 1, 2, 2, 2, 7, 8, 9, 10, 10, 10, 12]);
    expect(at(12)).toBe(13);
  });

  it('refuses other numbers of images', () => {
    expect(() => fillImageTexts('a <i>', '<i>', [])).toThrow(noticeError('text', /<i> 1 times.*are 0/));
    expect(() => fillImageTexts('a', '<i>', ['x'])).toThrow(noticeError('text', /<i> 0 times.*are 1/));
  });
});
