import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diffWords } from '../../src/web/state/diff.ts';

test('shows which words were replaced', () => {
  expect(diffWords('a red heart in a ring', 'a blue heart in the ring')).toEqual([
    { kind: 'same', text: 'a' },
    { kind: 'removed', text: ' red' },
    { kind: 'added', text: ' blue' },
    { kind: 'same', text: ' heart in' },
    { kind: 'removed', text: ' a' },
    { kind: 'added', text: ' the' },
    { kind: 'same', text: ' ring' },
  ]);
});

test('its parts make up both texts, whatever they are', () => {
  const words = fc.array(fc.constantFrom('a', 'b', 'c', '  d', '\n')).map((list) => list.join(' '));
  fc.assert(
    fc.property(words, words, (before, after) => {
      const parts = diffWords(before, after);
      const without = (kind: string) =>
        parts
          .filter((part) => part.kind !== kind)
          .map(({ text }) => text)
          .join('');
      expect(without('added')).toBe(before);
      expect(without('removed')).toBe(after);
    }),
  );
});
