import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkJson, parseJson } from '../../src/weights/json.ts';

const accepts = (text: string, read: (text: string) => unknown) => {
  try {
    read(text);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(SyntaxError);
    return false;
  }
};

describe('JSON', () => {
  it.each([
    ['', 'expected a value, found the end of the text at position 0'],
    ['{"a": 1,}', 'expected a string, found "}" at position 8'],
    ['{\n  "a" 1}', 'expected ":", found "1" at position 8 (line 2, column 7)'],
    ['[1 2]', 'expected "," or "]", found "2" at position 3'],
    ['{"a":"\u0001"}', 'found "\\u0001" at position 6'],
    ['{"a":"b', 'found the end of the text at position 7'],
    ['[01]', 'expected "," or "]", found "1" at position 2'],
    ['{} {}', 'expected the end of the text, found "{" at position 3'],
    ['NaN', 'expected a value, found "N" at position 0'],
  ])('says where %j is wrong', (text, message) => {
    expect(() => parseJson(text)).toThrow(message);
  });

  it('refuses a key that stands twice, however it is written, if asked', () => {
    const text = '{"a": {"b": 1, "\\u0062": 2}}';
    expect(parseJson(text)).toEqual({ a: { b: 2 } });
    expect(() => parseJson(text, { uniqueKeys: true })).toThrow(
      '"b" stands twice; the second ends at position 23',
    );
    expect(parseJson('[{"a": 1}, {"a": 1}]', { uniqueKeys: true })).toEqual([{ a: 1 }, { a: 1 }]);
  });

  it('refuses endless nesting', () => {
    const nested = (depth: number) => '['.repeat(depth) + ']'.repeat(depth);
    expect(parseJson(nested(127), { uniqueKeys: true })).toBeInstanceOf(Array);
    expect(() => parseJson(nested(128), { uniqueKeys: true })).toThrow('more than 127');
    expect(() => parseJson('['.repeat(1_000_000), { uniqueKeys: true })).toThrow('more than 127');
  });

  it('does not run out of stack on a long string of escapes', () => {
    expect(() => checkJson(`"${'\\n'.repeat(3_000_000)}"`)).not.toThrow();
  });

  it('accepts what JSON.parse accepts, and nothing else', () => {
    const garbled = fc
      .tuple(
        fc.json(),
        fc.nat(),
        fc.constantFrom('', '"', '\\', '{', '}', ',', '0', '-', 'e', '\n', '\u0000', '\ud800'),
      )
      .map(([json, at, insert]) => {
        const place = at % (json.length + 1);
        return json.slice(0, place) + insert + json.slice(place + (at % 2));
      });
    fc.assert(
      fc.property(garbled, (text) => {
        fc.pre(!repeatsKeys(text));
        expect(accepts(text, checkJson)).toBe(accepts(text, JSON.parse));
      }),
      { numRuns: 3000 },
    );
  });
});

function repeatsKeys(text: string): boolean {
  try {
    checkJson(text);
    return false;
  } catch (error) {
    return (error as Error).message.includes('stands twice');
  }
}
