import { readFile } from 'node:fs/promises';
import { SafeTensor } from 'safetensors';
import { describe, expect, it } from 'vitest';
import { fileSource } from '../../src/platform/node/files.ts';
import {
  asFloat32,
  type HostTensor,
  memorySource,
  openSafetensors,
  readTensors,
  safetensorsChunks,
  type TensorEntry,
  WeightsError,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { fixture } from './support.ts';

const GOLDEN = [
  ['blip-tiny', 'model.safetensors'],
  ['blip-tiny', 'golden.safetensors'],
  ['blip-tiny-f16', 'model.safetensors'],
  ['blip-tiny-sharded', 'model-00002-of-00003.safetensors'],
  ['nf4', 'nf4.safetensors'],
] as const;

describe.each(GOLDEN)('%s/%s, written by the reference implementation,', (...path) => {
  it('is read and written again byte for byte', async () => {
    const source = await fileSource(fixture(...path));
    const { metadata } = await openSafetensors(source);
    const tensors = await readTensors(source);
    await source.close();
    const shuffled = new Map([...tensors].reverse());
    // Buffer.compare: vitest's own comparison of a million bytes takes seconds.
    expect(Buffer.compare(writeSafetensors(shuffled, metadata), await readFile(fixture(...path)))).toBe(0);
  });
});

const SAMPLE: ReadonlyMap<string, HostTensor> = new Map<string, HostTensor>([
  ['half', { dtype: 'F16', shape: [3], data: Uint16Array.of(0x3c00, 0xc000, 0x0001) }],
  ['ids', { dtype: 'I64', shape: [1, 2], data: BigInt64Array.of(-5n, 2n ** 40n) }],
  ['mask', { dtype: 'BOOL', shape: [3], data: Uint8Array.of(1, 0, 1) }],
  [
    'values',
    { dtype: 'F32', shape: [2, 2], data: Float32Array.of(1, -0, Number.NaN, Number.NEGATIVE_INFINITY) },
  ],
]);

describe('npm safetensors', () => {
  it('reads what is written here', () => {
    const theirs = new SafeTensor(writeSafetensors(SAMPLE));
    expect([...theirs.metadata.keys()]).toEqual(['ids', 'values', 'half', 'mask']);
    for (const [name, { dtype, shape, data }] of SAMPLE) {
      expect(theirs.metadata.get(name)).toMatchObject({ dtype, shape });
      expect(theirs.getTensor(name)).toEqual(new Uint8Array(data.buffer));
    }
  });

  it('sees the same tensors in a file that neither wrote', async () => {
    // It cannot read files with metadata, so this one is put together by hand, its header not padded.
    const header =
      '{"b":{"shape":[2],"dtype":"I16","data_offsets":[1,5]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}';
    const file = new Uint8Array([
      header.length,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      ...new TextEncoder().encode(header),
      7,
      1,
      0,
      254,
      255,
    ]);
    const theirs = new SafeTensor(file);
    const ours = await readTensors(memorySource(file, 'file'));
    expect(ours.get('a')).toEqual({ dtype: 'U8', shape: [], data: Uint8Array.of(7) });
    expect(ours.get('b')).toEqual({ dtype: 'I16', shape: [2], data: Int16Array.of(1, -2) });
    for (const [name, { data }] of ours) expect(theirs.getTensor(name)).toEqual(new Uint8Array(data.buffer));
  });
});

describe('tensors', () => {
  it('are read by name', async () => {
    const source = memorySource(writeSafetensors(SAMPLE), 'file');
    expect([...(await readTensors(source, (name) => name.includes('a'))).keys()]).toEqual([
      'values',
      'half',
      'mask',
    ]);
  });

  it('widen to f32', () => {
    expect(asFloat32(SAMPLE.get('half')!, 'half')).toEqual(Float32Array.of(1, -2, 2 ** -24));
    expect(asFloat32({ dtype: 'BF16', shape: [1], data: Uint16Array.of(0xbfc0) }, 'x')).toEqual(
      Float32Array.of(-1.5),
    );
    expect(asFloat32({ dtype: 'F64', shape: [1], data: Float64Array.of(0.1) }, 'x')).toEqual(
      Float32Array.of(0.1),
    );
    expect(asFloat32(SAMPLE.get('values')!, 'x')).toBe(SAMPLE.get('values')!.data);
    expect(() => asFloat32(SAMPLE.get('ids')!, 'ids')).toThrow(
      'tensor "ids" is I64, expected F32, F16, BF16 or F64',
    );
  });

  it('are written in pieces, each made when its turn comes', async () => {
    const order: string[] = [];
    const entries = Array.from(
      SAMPLE,
      ([name, { dtype, shape, data }]): TensorEntry => ({
        name,
        dtype,
        shape,
        async data() {
          order.push(name);
          return data;
        },
      }),
    );
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    for await (const piece of safetensorsChunks(entries, { made: 'here' })) {
      expect(order.length).toBe(pieces.length);
      pieces.push(piece);
    }
    const joined = new Uint8Array(await new Blob(pieces).arrayBuffer());
    expect(joined).toEqual(writeSafetensors(SAMPLE, { made: 'here' }));
    expect(new DataView(joined.buffer).getUint32(0, true) % 8).toBe(0);
  });

  it('that are inconsistent are not written', async () => {
    const write = (name: string, tensor: unknown) => () =>
      writeSafetensors(new Map([[name, tensor as HostTensor]]));
    expect(write('__metadata__', { dtype: 'U8', shape: [0], data: new Uint8Array(0) })).toThrow(WeightsError);
    expect(write('x', { dtype: 'F32', shape: [3], data: new Float32Array(2) })).toThrow(
      'tensor "x" has 2 values in a Float32Array; F32 of shape [3] needs 3 in a Float32Array',
    );
    expect(write('x', { dtype: 'F32', shape: [2], data: new Int32Array(2) })).toThrow(
      '2 values in a Int32Array',
    );
    expect(write('x', { dtype: 'F31', shape: [2], data: new Int32Array(2) })).toThrow('dtype F31');
    expect(write('x', { dtype: ['U8'], shape: [0], data: new Uint8Array(0) })).toThrow('dtype U8');
    expect(write('x', { dtype: 'U8', shape: [-1], data: new Uint8Array(0) })).toThrow('shape [-1]');
    const twice = [1, 2].map(
      (): TensorEntry => ({ name: 'x', dtype: 'U8', shape: [0], data: () => new Uint8Array(0) }),
    );
    await expect(safetensorsChunks(twice).next()).rejects.toThrow('"x" stands twice');
  });
});
