import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nodeFolder } from '../../src/platform/node/files.ts';
import {
  asFloat32,
  Checkpoint,
  type HostTensor,
  ModelFileError,
  readTensors,
  WeightsError,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { fixture, MemoryFolder, rawFile } from './support.ts';

/** All of a tensor, read in pieces of at most `maxBytes`. */
async function bytesOf(checkpoint: Checkpoint, name: string, maxBytes: number): Promise<Uint8Array> {
  const pieces = [];
  let at = 0;
  for await (const { offset, bytes } of checkpoint.chunks(name, maxBytes)) {
    expect(offset).toBe(at);
    expect(bytes.length).toBeLessThanOrEqual(maxBytes);
    pieces.push(bytes);
    at += bytes.length;
  }
  return new Uint8Array(await new Blob(pieces).arrayBuffer());
}

describe('blip-tiny', () => {
  let whole: Checkpoint;
  let sharded: Checkpoint;
  let half: Checkpoint;
  beforeAll(async () => {
    whole = await Checkpoint.open(nodeFolder(fixture('blip-tiny')));
    sharded = await Checkpoint.open(nodeFolder(fixture('blip-tiny-sharded')));
    half = await Checkpoint.open(nodeFolder(fixture('blip-tiny-f16')));
  });
  afterAll(() => Promise.all([whole, sharded, half].map((checkpoint) => checkpoint.close())));

  it('holds the same tensors in one file and in three', async () => {
    expect(whole.names).toHaveLength(212);
    expect([...sharded.names].sort()).toEqual([...whole.names].sort());
    for (const name of whole.names) {
      expect(sharded.info(name)).toMatchObject({ dtype: 'F32', shape: whole.info(name).shape });
      expect(Buffer.compare(await bytesOf(sharded, name, 1000), await bytesOf(whole, name, 1 << 20))).toBe(0);
    }
  });

  it('differs in float16 by no more than rounding', async () => {
    expect([...half.names].sort()).toEqual([...whole.names].sort());
    let largest = 0;
    for (const name of whole.names) {
      const shape = whole.info(name).shape;
      const wide = new Float32Array((await bytesOf(whole, name, 1 << 20)).buffer as ArrayBuffer);
      const data = new Uint16Array((await bytesOf(half, name, 1 << 20)).buffer as ArrayBuffer);
      const narrow = asFloat32({ dtype: 'F16', shape, data } as HostTensor, name);
      // Half a unit of the last of 11 bits; below 2⁻¹⁴ of the smallest subnormal, 2⁻²⁴.
      narrow.forEach((value, i) => {
        const bound = Math.max(2 ** -11 * Math.abs(wide[i]!), 2 ** -25);
        largest = Math.max(largest, Math.abs(value - wide[i]!) / bound);
      });
    }
    expect(largest).toBeGreaterThan(0.5);
    expect(largest).toBeLessThanOrEqual(1);
  });

  it('names a tensor that it lacks', () => {
    expect(whole.has('text_encoder.pooler')).toBe(false);
    expect(() => whole.info('text_encoder.pooler')).toThrow(WeightsError);
    expect(() => whole.info('text_encoder.pooler')).toThrow(/blip-tiny: .*no tensor "text_encoder\.pooler"/);
  });

  it('gives chunks of whole elements, however small they may be', async () => {
    const name = 'text_decoder.bert.embeddings.LayerNorm.bias';
    const sizes = [];
    for await (const { bytes } of whole.chunks(name, 67)) sizes.push(bytes.length);
    expect(sizes).toEqual([64, 64, 32]);
    for await (const { bytes } of whole.chunks(name, 1)) expect(bytes.length).toBe(4);
  });
});

describe('a checkpoint', () => {
  const shard = (...names: string[]) =>
    writeSafetensors(
      new Map(names.map((name) => [name, { dtype: 'U8', shape: [1], data: Uint8Array.of(1) }])),
    );
  const INDEX = 'model.safetensors.index.json';
  const index = (weight_map: unknown) => JSON.stringify({ metadata: { total_size: 1 }, weight_map });

  it('reads what is asked for beside tensors of types that are not computed with', async () => {
    const header = {
      a: { dtype: 'F32', shape: [1], data_offsets: [0, 4] },
      packed: { dtype: 'F6_E2M3', shape: [4], data_offsets: [4, 7] },
      scale: { dtype: 'F8_E8M0', shape: [1], data_offsets: [7, 8] },
    };
    const files = new MemoryFolder({ 'model.safetensors': rawFile(header, 8) });
    const checkpoint = await Checkpoint.open(files);
    expect(await bytesOf(checkpoint, 'a', 4)).toEqual(new Uint8Array(4));
    await expect(bytesOf(checkpoint, 'packed', 4)).rejects.toThrow(
      'folder/model.safetensors: tensor "packed" is F6_E2M3, which is not read',
    );
    await checkpoint.close();
  });

  it('prefers the single file to an index, as Hugging Face does', async () => {
    const source = new MemoryFolder({
      'model.safetensors': shard('a'),
      [INDEX]: index({ b: 'b.safetensors' }),
    });
    const checkpoint = await Checkpoint.open(source);
    expect(checkpoint.names).toEqual(['a']);
    await checkpoint.close();
    expect(source.closed).toBe(source.opened);
  });

  it.each<[string, Record<string, Uint8Array | string>, RegExp]>([
    ['is missing', { 'pytorch_model.bin': '' }, /neither model\.safetensors nor .*index\.json.*convert/],
    [
      'is damaged',
      { 'model.safetensors': shard('a').slice(0, -1) },
      /folder\/model\.safetensors: has \d+ bytes/,
    ],
    [
      'lacks a shard',
      { [INDEX]: index({ a: '1.safetensors', b: '2.safetensors' }), '1.safetensors': shard('a') },
      /shard 2\.safetensors is missing/,
    ],
    [
      'has a damaged shard',
      { [INDEX]: index({ a: '1.safetensors' }), '1.safetensors': 'x' },
      /folder\/1\.safetensors: has 1 bytes/,
    ],
    [
      'lacks a tensor',
      { [INDEX]: index({ a: '1.safetensors', b: '1.safetensors' }), '1.safetensors': shard('a') },
      /1\.safetensors: has no tensor "b"/,
    ],
    ['has no weight_map', { [INDEX]: '{"metadata":{}}' }, /has no weight_map/],
    ['has null for an index', { [INDEX]: 'null' }, /has no weight_map/],
    ['has a list for a weight_map', { [INDEX]: index(['a']) }, /has no weight_map/],
    ['has a number for a file name', { [INDEX]: index({ a: 1 }) }, /weight_map has 1 for "a"/],
  ])('that %s is refused, and nothing stays open', async (_, files, message) => {
    const source = new MemoryFolder(files);
    const refusal = Checkpoint.open(source);
    await expect(refusal).rejects.toThrow(WeightsError);
    await expect(refusal).rejects.toThrow(message);
    expect(source.closed).toBe(source.opened);
  });

  it.each([
    [
      'leads out of the folder',
      index({ a: '../a.safetensors' }),
      /"\.\.\/a\.safetensors" is not a path inside/,
    ],
    ['is an absolute path', index({ a: '/etc/passwd' }), /"\/etc\/passwd" is not a path inside/],
    ['is not JSON', '{"weight_map": {', /index\.json is not valid JSON: .* at position 16/],
    ['has a tensor twice', '{"weight_map": {"a": "1", "a": "2"}}', /"a" stands twice/],
  ])('whose index %s is refused', async (_, text, message) => {
    const refusal = Checkpoint.open(new MemoryFolder({ [INDEX]: text }));
    await expect(refusal).rejects.toThrow(ModelFileError);
    await expect(refusal).rejects.toThrow(message);
  });

  it('gives the values that its file holds', async () => {
    const bytes = await readFile(fixture('blip-tiny', 'model.safetensors'));
    const checkpoint = await Checkpoint.open(new MemoryFolder({ 'model.safetensors': bytes }));
    const source = await nodeFolder(fixture('blip-tiny')).open('model.safetensors');
    const name = 'text_decoder.bert.embeddings.word_embeddings.weight';
    const { data } = (await readTensors(source!, (other) => other === name)).get(name)!;
    await source!.close();
    expect(await bytesOf(checkpoint, name, 4000)).toEqual(new Uint8Array(data.buffer));
  });
});
