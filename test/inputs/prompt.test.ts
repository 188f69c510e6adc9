import { describe, expect, it } from 'vitest';
import { expandImageTokens, formatPrompt } from '../../src/inputs/index.ts';
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
    expect(expandImageTokens([1, IMAGE, 3, 4], IMAGE, 3)).toEqual({
      ids: [1, IMAGE, IMAGE, IMAGE, 3, 4],
      imageStart: 1,
      positions: [0, 1, 4, 5],
    });
  });

  it('leaves a prompt alone that a processor has expanded', () => {
    const ids = [1, IMAGE, IMAGE, IMAGE, 3];
    expect(expandImageTokens(ids, IMAGE, 3)).toEqual({ ids, imageStart: 1, positions: [0, 1, 2, 3, 4] });
    expect(expandImageTokens([IMAGE, 2], IMAGE, 1)).toEqual({
      ids: [IMAGE, 2],
      imageStart: 0,
      positions: [0, 1],
    });
  });

  it('refuses other numbers of image tokens', () => {
    expect(() => expandImageTokens([1, 2], IMAGE, 3)).toThrow(
      noticeError('text', /\(id 9\) 0 times; expected once, or 3/),
    );
    expect(() => expandImageTokens([IMAGE, IMAGE], IMAGE, 3)).toThrow(noticeError('text', /2 times/));
  });
});
