import { describe, expect, it } from 'vitest';
import { assemble, conditionals, unroll } from '../../src/kernels/source.ts';

const lines = (...text: string[]) => `${text.join('\n')}\n`;

describe('unroll', () => {
  it('writes a block out once per value, a count being a number or a name', () => {
    const text = lines('a', '//@unroll r 0..3', '  s{r} += x[{r}u];', '//@end', 'b');
    const written = lines('a', '  s0 += x[0u];', '  s1 += x[1u];', '  s2 += x[2u];', 'b');
    expect(unroll(text, {})).toBe(written);
    expect(unroll(text.replace('0..3', '0..N'), { N: 3 })).toBe(written);
    expect(unroll(text, {}).includes('@')).toBe(false);
  });

  it('nests, so that s{r}_{c} names one variable per pair', () => {
    const text = lines(
      '  //@unroll r 0..2',
      '  let a{r} = A[{r}u];',
      '    //@unroll c 0..2',
      '  var s{r}_{c} = 0.0;',
      '    //@end',
      '  //@end',
    );
    expect(unroll(text, {})).toBe(
      lines(
        '  let a0 = A[0u];',
        '  var s0_0 = 0.0;',
        '  var s0_1 = 0.0;',
        '  let a1 = A[1u];',
        '  var s1_0 = 0.0;',
        '  var s1_1 = 0.0;',
      ),
    );
  });

  it('leaves nothing of a block that is written no times, and text without blocks as it is', () => {
    expect(unroll(lines('a', '//@unroll r 0..0', '{r}', '//@end', 'b'), {})).toBe(lines('a', 'b'));
    expect(unroll('fn main() { {r} }', { r: 1 })).toBe('fn main() { {r} }');
  });

  it('names a count without a value and a block without an end', () => {
    expect(() => unroll(lines('//@unroll r 0..MISSING', '//@end'), {})).toThrow(/no value for MISSING/);
    expect(() => unroll(lines('//@unroll r 0..2', 'x'), {})).toThrow(/without \/\/@end/);
  });
});

describe('conditionals', () => {
  const text = lines('a', '  //@if X', 'yes', '  //@else', 'no', '  //@endif', 'b');

  it('keeps the branch that holds', () => {
    expect(conditionals(text, { X: 1 })).toBe(lines('a', 'yes', 'b'));
    expect(conditionals(text, { X: 0 })).toBe(lines('a', 'no', 'b'));
  });

  it('nests: what is inside a dropped branch is dropped whatever it says', () => {
    const nested = lines('//@if X', 'x', '//@if Y', 'y', '//@else', 'z', '//@endif', '//@endif');
    expect(conditionals(nested, { X: 1, Y: 1 })).toBe(lines('x', 'y'));
    expect(conditionals(nested, { X: 1, Y: 0 })).toBe(lines('x', 'z'));
    expect(conditionals(nested, { X: 0, Y: 0 })).toBe('');
    expect(conditionals(nested, { X: 0, Y: 1 })).toBe('');
  });

  it('names a condition without a value, and blocks that do not match', () => {
    expect(() => conditionals(text, {})).toThrow(/no value for X/);
    expect(() => conditionals('//@if X', { X: 1 })).toThrow(/without \/\/@endif/);
    expect(() => conditionals('//@else', {})).toThrow('//@else without //@if');
    expect(() => conditionals('//@endif', {})).toThrow('//@endif without //@if');
  });
});

describe('assemble', () => {
  it('puts constants and functions in front of the shader', () => {
    const text = assemble('activation', { constants: { WG: 64, HAS_GATE: 0 }, activation: 'silu' });
    const [first, second, third] = text.split('\n');
    expect([first, second, third]).toEqual([
      'const WG: u32 = 64u;',
      'const HAS_GATE: u32 = 0u;',
      'fn activate(x: f32) -> f32 { return x / (1.0 + exp(-x)); }',
    ]);
    expect(text).not.toContain('//@');
  });
});
