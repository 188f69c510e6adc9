import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  DTYPES,
  type Dtype,
  type HostTensor,
  memorySource,
  openSafetensors,
  readTensors,
  WeightsError,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { rawFile } from './support.ts';

const open = (bytes: Uint8Array) => openSafetensors(memorySource(bytes, 'file.safetensors'));
const entry = (dtype: unknown, shape: unknown, ...data_offsets: unknown[]) => ({
  dtype,
  shape,
  data_offsets,
});

describe('reading a header', () => {
  it('gives every tensor its place in the file, and the metadata', async () => {
    const header = {
      b: entry('F16', [2, 3], 4, 16),
      a: entry('F32', [], 0, 4),
      none: entry('I64', [0, 7], 4, 4),
      __metadata__: { format: 'pt' },
    };
    const file = await open(rawFile(header, 16));
    const data = 8 + JSON.stringify(header).length;
    expect([...file.tensors.values()]).toMatchObject([
      { file: 'file.safetensors', name: 'a', dtype: 'F32', shape: [], begin: data, end: data + 4 },
      { name: 'none', dtype: 'I64', shape: [0, 7], begin: data + 4, end: data + 4 },
      { name: 'b', dtype: 'F16', shape: [2, 3], begin: data + 4, end: data + 16 },
    ]);
    expect(file.metadata).toEqual({ format: 'pt' });
  });

  it('takes names that mean something to JavaScript', async () => {
    const header = `{"__proto__":${JSON.stringify(entry('U8', [1], 0, 1))},"constructor":${JSON.stringify(entry('U8', [1], 1, 2))}}`;
    expect([...(await open(rawFile(header, 2))).tensors.keys()]).toEqual(['__proto__', 'constructor']);
  });

  it('takes an empty file of tensors', async () => {
    expect((await open(rawFile({}, 0))).tensors.size).toBe(0);
  });
});

describe('a damaged or hostile file', () => {
  const f32 = (begin: number) => entry('F32', [1], begin, begin + 4);
  it.each<[string, Uint8Array, RegExp]>([
    ['is too short', new Uint8Array(7), /has 7 bytes, fewer than the 8/],
    ['announces a giant header', rawFile({}, 0, 2n ** 63n), /header of 9223372036854775808 bytes; 100000000/],
    [
      'has a header just over the limit',
      rawFile({}, 0, 100_000_001n),
      /header of 100000001 bytes; 100000000/,
    ],
    ['is cut inside the header', rawFile({ a: f32(0) }, 4).slice(0, 30), /header of \d+ bytes and has 22/],
    ['has an empty header', rawFile('', 0), /expected a value, found the end of the text/],
    ['has a list for a header', rawFile('[]', 0), /has \[\] for a header, expected an object/],
    [
      'has a header that is not JSON',
      rawFile('{"a":}', 0),
      /no JSON text: expected a value, found "}" at position 5/,
    ],
    [
      'has a header that is not UTF-8',
      Uint8Array.of(3, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0xff, 0x7d),
      /not UTF-8 text: wrong at byte 1/,
    ],
    [
      'is a pointer to the file',
      Buffer.from('version https://git-lfs.github.com/spec/v1\n'),
      /pointer of Git LFS .* `git lfs pull`/,
    ],
    [
      'has a key of an entry twice',
      rawFile('{"a":{"dtype":"F32","dtype":"F16"}}', 0),
      /tensor "a": dtype stands twice/,
    ],
    ['nests endlessly', rawFile(`{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 0), /more than 127/],
    [
      'has metadata that is no object',
      rawFile({ __metadata__: 'x' }, 0),
      /__metadata__ "x", expected an object/,
    ],
    ['has metadata that is no string', rawFile({ __metadata__: { a: 1 } }, 0), /"a": 1, expected a string/],
    ['has an entry that is no object', rawFile({ a: null }, 0), /tensor "a": the header has null/],
    ['has an unknown dtype', rawFile({ a: entry('F33', [1], 0, 4) }, 4), /"a": dtype "F33", expected one of/],
    ['has a dtype from the prototype', rawFile({ a: entry('toString', [1], 0, 4) }, 4), /dtype "toString"/],
    ['lacks the dtype', rawFile({ a: { shape: [1], data_offsets: [0, 4] } }, 4), /dtype nothing/],
    ['lacks the shape', rawFile({ a: { dtype: 'F32', data_offsets: [0, 4] } }, 4), /shape nothing/],
    ['has a negative size', rawFile({ a: entry('F32', [-1, -1], 0, 4) }, 4), /shape \[-1,-1\]/],
    ['has a fraction of a size', rawFile({ a: entry('F32', [1.5], 0, 6) }, 6), /shape \[1.5\]/],
    ['has a size that is a string', rawFile({ a: entry('F32', ['1'], 0, 4) }, 4), /shape \["1"\]/],
    [
      'has a giant size',
      rawFile({ a: entry('F32', [2 ** 60], 0, 4) }, 4),
      /"a": shape \[1152921504606847000\] has more elements than can be counted/,
    ],
    [
      'has a shape that overflows',
      rawFile({ a: entry('U8', [2 ** 32, 2 ** 32], 0, 0) }, 0),
      /more elements than/,
    ],
    [
      'has a shape that overflows before a zero',
      rawFile({ a: entry('U8', [2 ** 32, 2 ** 32, 0], 0, 0) }, 0),
      /more elements/,
    ],
    ['has one offset', rawFile({ a: entry('F32', [1], 0) }, 4), /data_offsets \[0\], expected two/],
    [
      'has a negative offset',
      rawFile({ a: entry('F32', [1], -4, 0) }, 4),
      /data_offsets \[-4,0\], expected two/,
    ],
    [
      'has offsets in reverse',
      rawFile({ a: f32(0), b: entry('F32', [1], 4, 0) }, 4),
      /expected the begin before the end/,
    ],
    [
      'has too few bytes for a shape',
      rawFile({ a: entry('F32', [2], 0, 4) }, 4),
      /"a": F32 of shape \[2\] has 8 bytes.*hold 4/,
    ],
    [
      'has overlapping tensors',
      rawFile({ a: f32(0), b: f32(2) }, 6),
      /"b" begins at byte \d+, inside tensor "a"/,
    ],
    [
      'has the same bytes twice',
      rawFile({ a: f32(0), b: f32(0) }, 4),
      /"b" begins at byte \d+, inside tensor "a"/,
    ],
    [
      'has a hole',
      rawFile({ a: f32(0), b: f32(8) }, 12),
      /"b" begins at byte \d+, behind a gap after tensor "a"/,
    ],
    [
      'has a hole at the start',
      rawFile({ a: f32(4) }, 8),
      /"a" begins at byte \d+, behind a gap after the header/,
    ],
    [
      'is cut inside the data',
      rawFile({ a: f32(0), b: f32(4) }, 7),
      /has \d+ bytes, but tensor "b" ends at byte \d+/,
    ],
    ['goes on after the data', rawFile({ a: f32(0) }, 5), /has \d+ bytes, but tensor "a" ends at byte \d+/],
  ])('that %s is refused', async (_, bytes, message) => {
    const refusal = open(bytes);
    await expect(refusal).rejects.toThrow(WeightsError);
    await expect(refusal).rejects.toThrow(message);
    await expect(refusal).rejects.toThrow(/^file\.safetensors: /);
    await expect(refusal).rejects.toMatchObject({ code: 'weights' });
  });
});

/** A tensor of any type and small shape with any bit patterns. */
const anyTensor: fc.Arbitrary<HostTensor> = fc
  .tuple(fc.constantFrom(...DTYPES), fc.array(fc.nat(4), { maxLength: 3 }))
  .chain(([dtype, shape]) => {
    const length = shape.reduce((product, size) => product * size, 1);
    return fc.tuple(fc.constant(dtype), fc.constant(shape), anyData(dtype, length));
  })
  .map(([dtype, shape, data]) => ({ dtype, shape, data }) as HostTensor);

function anyData(dtype: Dtype, length: number): fc.Arbitrary<HostTensor['data']> {
  const size = { minLength: length, maxLength: length };
  const arbitrary: Record<Dtype, fc.Arbitrary<HostTensor['data']>> = {
    BOOL: fc.uint8Array(size),
    U8: fc.uint8Array(size),
    I8: fc.int8Array(size),
    F8_E5M2: fc.uint8Array(size),
    F8_E4M3: fc.uint8Array(size),
    I16: fc.int16Array(size),
    U16: fc.uint16Array(size),
    F16: fc.uint16Array(size),
    BF16: fc.uint16Array(size),
    I32: fc.int32Array(size),
    U32: fc.uint32Array(size),
    F32: fc.float32Array(size),
    F64: fc.float64Array(size),
    I64: fc.bigInt64Array(size),
    U64: fc.bigUint64Array(size),
  };
  return arbitrary[dtype];
}

const anyTensors = fc
  .array(fc.tuple(fc.string({ unit: 'binary' }), anyTensor), { maxLength: 6 })
  .map((entries) => new Map(entries.filter(([name]) => name !== '__metadata__')));
const anyMetadata = fc.dictionary(fc.string(), fc.string());

describe('any tensors', () => {
  it('come back as they were written', async () => {
    await fc.assert(
      fc.asyncProperty(anyTensors, anyMetadata, async (tensors, metadata) => {
        const source = memorySource(writeSafetensors(tensors, metadata), 'file');
        const back = await readTensors(source);
        expect(new Map([...back].sort())).toEqual(new Map([...tensors].sort()));
        expect({ ...(await openSafetensors(source)).metadata }).toEqual({ ...metadata });
      }),
    );
  });

  it('in a file with changed, cut or added bytes are read or refused with a WeightsError', async () => {
    const damage = fc.tuple(
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
      fc.option(fc.nat(), { freq: 3 }),
    );
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(anyTensors, damage, async (tensors, [changes, cut]) => {
        const whole = writeSafetensors(tensors);
        for (const [at, byte] of changes) whole[at % whole.length] = byte;
        const bytes = cut === null ? whole : whole.slice(0, cut % whole.length);
        try {
          await readTensors(memorySource(bytes, 'file'));
        } catch (error) {
          refused++;
          expect(error).toBeInstanceOf(WeightsError);
        }
      }),
      { numRuns: 1000 },
    );
    expect(refused).toBeGreaterThan(300);
  });
});
