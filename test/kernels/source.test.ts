import { describe, expect, it } from 'vitest';
import { BindGroupCache } from '../../src/gpu/bind-groups.ts';
import { GpuValidationError, type Work } from '../../src/gpu/index.ts';
import type { Pipeline } from '../../src/gpu/pipeline.ts';
import { assemble, conditionals, kernel, unroll } from '../../src/kernels/source.ts';
import { bindingsOf, paramsOf, withIncludes } from '../../tools/embed-shaders.mjs';

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

describe('what a shader file declares', () => {
  const X = '@group(0) @binding(0) var<storage, read> X: array<f32>;';
  const X4 = '@group(0) @binding(0) var<storage, read> X: array<vec4<f32>>;';
  const Y = '@group(0) @binding(1) var<storage, read_write> Y: array<atomic<u32>>;';
  const G = '@group(0) @binding(2u + HAS_GATE) var<storage, read> G: array<f32>;';

  it('is its bindings in order, each with its access and the condition under which it is there', () => {
    const text = lines('//@if VEC4', X4, '//@else', X, '//@endif', '//@if HAS_GATE', G, '//@endif', Y);
    const bindings = { X: 'read', G: ['read', 'HAS_GATE'], Y: 'read_write' };
    expect(Object.entries(bindingsOf(text))).toEqual(Object.entries(bindings));
  });

  it('is refused where it cannot be told what is bound', () => {
    const refused = [
      lines(X, X),
      lines('//@if A', X, '//@endif', X),
      lines('//@if A', '//@else', X, '//@endif'),
      lines('//@if A', X, '//@endif', '//@if B', '//@else', X, '//@endif'),
      lines('//@if A', '//@if B', X, '//@endif', '//@endif'),
      lines('//@if A', X, '//@else', X.replace('read>', 'read_write>'), '//@endif'),
      lines('@group(1) @binding(0) var<storage, read> X: array<f32>;'),
      lines('@group(0) @binding(0) var<uniform> X: vec4f;'),
    ];
    for (const text of refused) expect(() => bindingsOf(text), text).toThrow(/array<f32>;|vec4f;/);
  });

  it('is its parameters in order, which are scalars', () => {
    const fields = paramsOf(
      lines('struct Params {', '  b: u32, a: f32,', '  c: i32,', '}', 'struct Q { z: u32 }'),
    );
    expect(Object.entries(fields)).toEqual([
      ['b', 'u32'],
      ['a', 'f32'],
      ['c', 'i32'],
    ]);
    expect(paramsOf('fn main() {}')).toEqual({});
    expect(() => paramsOf('struct Params { a: vec2f }')).toThrow('a: vec2f');
  });

  it('comes after the files that it includes', () => {
    expect(withIncludes(lines('//@include a b', 'c'), (name) => lines(name))).toBe(lines('a', 'b', 'c'));
    expect(withIncludes(lines('c'), (name) => lines(name))).toBe(lines('c'));
  });
});

describe('kernel', () => {
  const activation = (gated: boolean) =>
    kernel('activation', ['none', gated && 'gated'], () => ({
      constants: { WG: 64, HAS_GATE: gated },
      activation: 'none',
    }));

  it('binds what its file declares under its constants, and is put together once', () => {
    const { name, bindings, params } = activation(true);
    expect(name).toBe('activation none gated');
    expect(Object.entries(bindings)).toEqual([
      ['X', 'read'],
      ['Y', 'read_write'],
      ['G', 'read'],
    ]);
    expect(params).toEqual({ count: 'u32', threads: 'u32' });
    expect(Object.keys(activation(false).bindings)).toEqual(['X', 'Y']);
    expect(activation(false)).toBe(activation(false));
  });

  it('takes no other names for buffers and parameters than its file gives', () => {
    const buffer = {} as GPUBuffer;
    const w = { dispatch: () => {} } as unknown as Work;
    const params = { count: 1, threads: 1 };
    w.dispatch(activation(true), { X: buffer, Y: buffer, G: buffer }, params, [1, 1, 1]);
    w.dispatch(activation(false), { X: buffer, Y: buffer }, params, [1, 1, 1]);
    // @ts-expect-error Y is missing
    w.dispatch(activation(false), { X: buffer }, params, [1, 1, 1]);
    // @ts-expect-error there is no Z
    w.dispatch(activation(false), { X: buffer, Y: buffer, Z: buffer }, params, [1, 1, 1]);
    // @ts-expect-error there is no gate of that name
    w.dispatch(activation(true), { X: buffer, Y: buffer, gate: buffer }, params, [1, 1, 1]);
    // @ts-expect-error threads is missing
    w.dispatch(activation(false), { X: buffer, Y: buffer }, { count: 1 }, [1, 1, 1]);
  });

  it('is not bound without a buffer that it needs', () => {
    const source = activation(true);
    const pipeline = { source, bindings: Object.keys(source.bindings) } as unknown as Pipeline;
    const buffer = {} as GPUBuffer;
    const bind = () => new BindGroupCache({} as GPUDevice).get(pipeline, { X: buffer, Y: buffer }, () => {});
    expect(bind).toThrow(GpuValidationError);
    expect(bind).toThrow('activation none gated: no buffer for its binding G');
  });
});
