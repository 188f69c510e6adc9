import { describe, expect, test } from 'vitest';
import {
  checkChoice,
  checkFields,
  checkFinite,
  checkFlag,
  checkFloats,
  checkPositive,
  checkWhole,
  checkWholes,
} from '../src/check.ts';
import { NoticeError } from '../src/errors.ts';

/** What JavaScript can hand over in place of a number. */
const ODD = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  1.5,
  -1,
  2 ** 53,
  '1',
  1n,
  null,
  undefined,
  {},
  [1],
  () => 1,
  Symbol('s'),
];

function message(work: () => void): string | undefined {
  try {
    work();
  } catch (error) {
    expect(error).toBeInstanceOf(NoticeError);
    expect((error as NoticeError).code).toBe('usage');
    return (error as Error).message;
  }
  return undefined;
}

describe('each says the name, what was found and what is expected', () => {
  test.each([
    [() => checkWhole(Number.NaN, 'repeat'), 'repeat is NaN, expected a whole number from 0'],
    [() => checkWhole(0, 'maxNewTokens', { from: 1 }), 'maxNewTokens is 0, expected a whole number from 1'],
    [() => checkWhole(9, 'token', { to: 8 }), 'token is 9, expected a whole number from 0 to 8'],
    [() => checkWholes(7, 'positions'), 'positions is 7, expected a list of whole numbers from 0'],
    [
      () => checkWholes(new Set([7]), 'positions'),
      'positions is a Set, expected a list of whole numbers from 0',
    ],
    [() => checkWholes('12', 'positions'), 'positions is "12", expected a list of whole numbers from 0'],
    [() => checkWholes([1, 1.5], 'ids', { to: 3 }), 'ids[1] is 1.5, expected whole numbers from 0 to 3'],
    [() => checkWholes(new Array(2), 'ids'), 'ids[0] is undefined, expected whole numbers from 0'],
    [() => checkPositive(0, 'temperature'), 'temperature is 0, expected a positive number'],
    [() => checkFinite('1', 'factor'), 'factor is "1", expected a finite number'],
    [() => checkFlag('yes', 'heads'), 'heads is "yes", expected true or false'],
    [
      () => checkChoice('x', 'mode', ['wavefront', 'one-by-one']),
      'mode is "x", expected "wavefront" or "one-by-one"',
    ],
    [
      () => checkFields({ position: [7] }, 'target', ['hook', 'positions']),
      'target has no field "position"; its fields are hook, positions',
    ],
    [() => checkFields([7], 'target', []), 'target is an Array, expected an object'],
    [
      () => checkFloats(new Float64Array(2), 'values'),
      'values is a Float64Array, expected a Float32Array (Float32Array.from makes one)',
    ],
  ])('%#', (work, words) => {
    expect(message(work)).toBe(words);
  });

  test('of another length', () => {
    expect(() => checkFloats(new Float32Array(2), 'values', 3)).toThrow(
      expect.objectContaining({ code: 'shape', message: 'values has 2 values, expected 3' }),
    );
  });
});

test('nothing odd passes', () => {
  for (const value of ODD) {
    expect(
      message(() => checkWhole(value, 'x', { from: 1 })),
      String(value),
    ).toBeDefined();
    expect(
      message(() => checkWholes([value], 'x', { from: 1 })),
      String(value),
    ).toBeDefined();
    expect(
      message(() => checkFloats(value, 'x')),
      String(value),
    ).toBeDefined();
  }
  for (const value of ODD.filter((value) => !(typeof value === 'number' && value > 0 && value < Infinity)))
    expect(
      message(() => checkPositive(value, 'x')),
      String(value),
    ).toBeDefined();
});

test('what is meant passes', () => {
  expect(
    message(() => {
      checkWhole(1, 'x', { from: 1, to: 1 });
      checkWholes([0, 1], 'x', { to: 1 });
      checkWholes(Int32Array.of(0, 1), 'x');
      checkWholes([], 'x');
      checkPositive(0.1, 'x');
      checkPositive(Number.POSITIVE_INFINITY, 'x', { infinite: true });
      checkFinite(-0.5, 'x');
      checkFlag(false, 'x');
      checkChoice('a', 'x', ['a', 'b']);
      checkFields({ a: 1 }, 'x', ['a', 'b']);
      checkFloats(new Float32Array(3), 'x', 3);
    }),
  ).toBeUndefined();
});
