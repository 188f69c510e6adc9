import { describe, expect, it } from 'vitest';
import { expectClose, expectSameBits } from './close.ts';

describe('expectClose', () => {
  it('passes within the sum of its tolerances', () => {
    expectClose([1, 2, 4], [1, 2, 4], {});
    expectClose([1.5, 2, 3.5], [1, 2, 4], { atol: 0.5 });
    expectClose([1.1, -2.2], [1, -2], { rtol: 0.11 });
    expectClose([0.3, 4], [0, 4], { ofMax: 0.1 });
    expectClose([1, 2.9], [1, 2], { atol: [0, 1] });
    expectClose([1.75], [1], { atol: 0.25, rtol: 0.25, ofMax: 0.25 });
  });

  it('says where the first and the worst difference are, and how large', () => {
    const compare = () =>
      expectClose([0, 1.5, 2, 3, 4, 9], [0, 1, 2, 3, 4, 5], { atol: 0.25, shape: [2, 3], name: 'z' });
    expect(compare).toThrow(/^z: 2 of 6 values are off\n/);
    expect(compare).toThrow('first at [0, 1]: 1.5, expected 1, error 5.000e-1, allowed 2.500e-1');
    expect(compare).toThrow('worst at [1, 2]: 9, expected 5, error 4.000e+0, allowed 2.500e-1');
  });

  it('takes NaN for NaN and an infinity for itself, whatever is allowed', () => {
    const { NaN: nan, POSITIVE_INFINITY: infinity } = Number;
    const generous = { atol: 1e30, rtol: 1, ofMax: 1 };
    expectClose([nan, infinity, -infinity], [nan, infinity, -infinity], generous);
    for (const [actual, expected] of [
      [nan, 1],
      [1, nan],
      [infinity, 1],
      [1, infinity],
      [infinity, -infinity],
      [nan, infinity],
    ])
      expect(() => expectClose([actual!], [expected!], generous)).toThrow(/1 of 1 values are off/);
  });

  it('fails on other lengths, and where there is nothing to compare', () => {
    expect(() => expectClose([1], [1, 2], { atol: 9 })).toThrow('1 values, expected 2');
    expect(() => expectClose([], [], {})).toThrow('nothing to compare');
    expect(() => expectClose([1, 2], [1, 2], { shape: [3] })).toThrow('shape [3] does not hold 2 values');
  });
});

describe('expectSameBits', () => {
  it('tells apart what compares as equal', () => {
    expectSameBits(Float32Array.of(0, Number.NaN), Float32Array.of(0, Number.NaN));
    expect(() => expectSameBits(Float32Array.of(1, -0), Float32Array.of(1, 0))).toThrow(
      '1 of 2 values differ, first at [1]: 0 (0x80000000), expected 0 (0x00000000)',
    );
    const next = new Float32Array(Uint32Array.of(0x3f800001).buffer);
    expect(() => expectSameBits(next, Float32Array.of(1))).toThrow(/0x3f800001.*0x3f800000/);
  });
});
