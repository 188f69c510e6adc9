// The corrupt question of a pair of one's own.
import { expect, test } from 'vitest';
import { withOptions } from '../../src/web/state/own-question.ts';

const options = { correct: 'ring', incorrect: 'star' };

test.each([
  ['is a star or ring inside the ring?', ['cross', 'heart'], 'is a heart or cross inside the ring?'],
  ['is it a ring or star?', ['star', 'ring'], 'is it a star or ring?'],
  ['is it a ring or star?', [' heart ', 'big cross'], 'is it a heart or big cross?'],
])('%s with %j', (question, words, expected) => {
  expect(withOptions(question, options, words as unknown as [string, string])).toBe(expected);
});

test('a word that is missing, or a question that does not offer the options, gives none', () => {
  expect(withOptions('is it a ring or star?', options, ['heart', ' '])).toBeUndefined();
  expect(withOptions('is it a ring?', options, ['heart', 'cross'])).toBeUndefined();
});
