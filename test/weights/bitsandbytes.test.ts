// Layers and models that bitsandbytes has quantised, against what it made of them (fixtures/nf4/make.py).

import { beforeAll, describe, expect, test } from 'vitest';
import type { Gpu } from '../../src/gpu/index.ts';
import { isQuantized, type QuantizedWeight } from '../../src/kernels/index.ts';
import { loadModel, planModel, weightDtypes } from '../../src/models/index.ts';
import { runWithHooks } from '../../src/patching/index.ts';
import { fileSource, nodeFolder } from '../../src/platform/node/files.ts';
import {
  asFloat32,
  Checkpoint,
  type HostTensor,
  readTensors,
  WeightLoader,
  type WeightLoaderOptions,
  WeightsError,
  writeSafetensors,
} from '../../src/weights/index.ts';
import { readQuantized } from '../kernels/quantized-support.ts';
import { nf4 } from '../reference/index.ts';
import { expectClose, expectSameBits } from '../support/close.ts';
import { fixture, GOLDEN, Golden, loadFixtureModel } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';
import { MemoryFolder } from './support.ts';

let gpu: Gpu;
let layers: Map<string, HostTensor>;
beforeAll(async () => {
  gpu = await testGpu();
  layers = await tensorsOf('nf4/layers.safetensors');
});

async function tensorsOf(file: string): Promise<Map<string, HostTensor>> {
  const source = await fileSource(fixture(file));
  return readTensors(source).finally(() => source.close());
}

async function loaderOf(tensors: ReadonlyMap<string, HostTensor>, options: WeightLoaderOptions = {}) {
  const folder = new MemoryFolder({ 'model.safetensors': writeSafetensors(tensors) });
  return new WeightLoader(gpu, await Checkpoint.open(folder), options);
}

async function contents(weight: unknown) {
  const linear = weight as QuantizedWeight;
  expect(isQuantized(linear)).toBe(true);
  return gpu.work((w) => readQuantized(w, linear));
}

function codesOf(name: string, count: number): number[] {
  const packed = layers.get(`${name}.weight`)!.data as Uint8Array;
  return Array.from({ length: count }, (_, i) => (packed[i >> 1]! >> (i % 2 ? 0 : 4)) & 15);
}

const absmaxOf = (name: string) => asFloat32(layers.get(`${name}/absmax`)!, name);

describe('a layer in a file', () => {
  test.each([
    ['plain', 40, 500, undefined],
    ['nested', 40, 500, 'nf4'],
    ['odd', 15, 15, undefined],
    ['wide_blocks', 40, 500, undefined],
  ] as const)('%s keeps codes and absmax', async (name, rows, columns, type) => {
    for (const maxPartBytes of rows === 40 ? [1e9, 5000] : [1e9]) {
      const loader = await loaderOf(layers, { ...(type ? { type } : {}), maxPartBytes });
      const weight = await loader.linear(`${name}.weight`, { rows, columns });
      expect(weight.parts.length > 1).toBe(maxPartBytes < 1e9);
      const { codes, scales, padding } = await contents(weight);
      expect([...codes]).toEqual(codesOf(name, rows * columns));
      expect(padding.every((code) => code === 7)).toBe(true);
      const absmax = absmaxOf(name);
      const each = scales.length / absmax.length > 1.5 ? 2 : 1;
      expectSameBits(
        scales,
        scales.map((_, i) => absmax[Math.floor(i / each)]!),
      );
      const planned = await loaderOf(layers, { planOnly: true, maxPartBytes });
      await planned.linear(`${name}.weight`, { rows, columns });
      expect(planned.bytes).toBe(loader.bytes);
      loader.destroy();
    }
  });

  test.each([
    ['of more than one portion', 1100, 8196], // 4.5 MB of codes; rows that are no whole words, blocks that end inside rows
    ['of one row', 1, 100],
  ])('%s arrives whole', async (_, rows, columns) => {
    const random = new Random(3);
    const packed = Uint8Array.from({ length: (rows * columns) / 2 }, () => random.integer(256));
    const absmax = random.vector(Math.ceil((rows * columns) / 64)).map(Math.abs);
    const state = (shape: number[]): HostTensor => {
      const text = { quant_type: 'nf4', blocksize: 64, dtype: 'float16', shape };
      const data = new TextEncoder().encode(JSON.stringify(text));
      return { dtype: 'U8', shape: [data.length], data };
    };
    const map = layers.get('plain.weight.quant_map')!;
    const tensors = new Map<string, HostTensor>([
      ['a', { dtype: 'U8', shape: [packed.length, 1], data: packed }],
      ['a.absmax', { dtype: 'F32', shape: [absmax.length], data: absmax }],
      ['a.quant_map', map],
      ['a.quant_state.bitsandbytes__nf4', state([rows, columns])],
    ]);
    const loader = await loaderOf(tensors, { maxPartBytes: 2_000_000 });
    const { codes, scales } = await contents(await loader.linear(['a'], { rows, columns }));
    expect(codes.findIndex((code, i) => code !== ((packed[i >> 1]! >> (i % 2 ? 0 : 4)) & 15))).toBe(-1);
    expectSameBits(scales, absmax);
    loader.destroy();
  });

  test('is joined with others, and as nf4 with layers that are not quantised', async () => {
    const values = new Random(2).vector(10 * 500);
    const tensors = new Map(layers).set('float.weight', { dtype: 'F32', shape: [10, 500], data: values });
    const names = ['plain.weight', 'float.weight', 'nested.weight'];
    const loader = await loaderOf(tensors, { type: 'nf4' });
    const { codes, scales } = await contents(await loader.linear(names, { rows: 90, columns: 500 }));
    const own = nf4(values);
    expect([...codes]).toEqual([...codesOf('plain', 20000), ...own.codes, ...codesOf('nested', 20000)]);
    expect([...scales]).toEqual([...absmaxOf('plain'), ...own.scales, ...absmaxOf('nested')]);
    loader.destroy();
    const asInFile = await loaderOf(tensors);
    await expect(asInFile.linear(names, { rows: 90, columns: 500 })).rejects.toThrow(
      /"plain\.weight" was quantised by bitsandbytes, "float\.weight", which is joined with it, was not\. Load the model as nf4/,
    );
  });

  const state = (change: object) => {
    const { data } = layers.get('nested.weight.quant_state.bitsandbytes__nf4')!;
    const text = JSON.stringify({ ...JSON.parse(new TextDecoder().decode(data as Uint8Array)), ...change });
    const bytes = new TextEncoder().encode(text);
    return { 'quant_state.bitsandbytes__nf4': { dtype: 'U8', shape: [bytes.length], data: bytes } };
  };
  const floats = (count: number, value = 1): HostTensor => ({
    dtype: 'F32',
    shape: [count],
    data: new Float32Array(count).fill(value),
  });
  test.each<[string, () => object, RegExp]>([
    ['another type', () => state({ quant_type: 'fp4' }), /"w" has quant_type "fp4"; nf4 is supported/],
    ['blocks of 32', () => state({ blocksize: 32 }), /"w" has blocksize 32; multiples of 64/],
    ['no blocks', () => state({ blocksize: null }), /"w" has blocksize null/],
    ['another dtype', () => state({ dtype: 'int8' }), /"w" has dtype "int8", expected one of float32/],
    ['a shape of one number', () => state({ shape: [20000] }), /"w" has shape \[20000\], expected \[out/],
    ['a shape that has no size', () => state({ shape: [1e300, 500] }), /"w" has shape/],
    ['too large a shape', () => state({ shape: [41, 500] }), /"w" is U8 .* expected 10250 elements/],
    ['another matrix', () => state({ shape: [500, 40] }), /expected a matrix \[40, 500\]/],
    ['no offset', () => state({ nested_offset: 'x' }), /"w" has nested_offset "x"/],
    ['no inner blocks', () => state({ nested_blocksize: 0 }), /"w" has nested_blocksize 0/],
    [
      'other inner blocks',
      () => state({ nested_blocksize: 64 }),
      /"w\.nested_absmax" is F32 \[2\], expected 5/,
    ],
    ['infinite scales', () => state({ nested_offset: 1e300 }), /"w" has an absmax that is not finite/],
    ['another table', () => ({ quant_map: floats(16) }), /"w" has a quant_map that is not NF4's/],
    ['a short table', () => ({ quant_map: floats(15) }), /"w\.quant_map" is F32 \[15\], expected 16/],
    [
      'absmax of floats',
      () => ({ absmax: floats(313) }),
      /"w\.absmax" is F32 \[313\], expected 313 elements of U8/,
    ],
    ['NaN', () => ({ nested_absmax: floats(2, Number.NaN) }), /"w" has an absmax that is not finite/],
    ['no absmax', () => ({ absmax: undefined }), /no tensor "w\.absmax"/],
    [
      'no JSON',
      () => ({ 'quant_state.bitsandbytes__nf4': { dtype: 'U8', shape: [1], data: new Uint8Array(1) } }),
      /"w\.quant_state\.bitsandbytes__nf4" is not a JSON object/,
    ],
  ])('with %s is refused', async (_, change, message) => {
    const tensors = new Map<string, HostTensor>();
    for (const [name, tensor] of layers)
      if (/^nested\.weight/.test(name)) tensors.set(name.replace('nested.weight', 'w'), tensor);
    for (const [part, tensor] of Object.entries(change()))
      if (tensor) tensors.set(`w.${part}`, tensor as HostTensor);
      else tensors.delete(`w.${part}`);
    const loader = await loaderOf(tensors);
    const refused = loader.linear('w', { rows: 40, columns: 500 });
    await expect(refused).rejects.toThrow(WeightsError);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toThrow(/^folder(\/model\.safetensors)?: /);
    loader.destroy();
  });

  test.each([
    ['fp4.weight', /"fp4\.weight" was quantised to fp4 by bitsandbytes; nf4 is supported/],
    ['narrow_blocks.weight', /"narrow_blocks\.weight" has blocksize 32/],
  ])('%s is refused as bitsandbytes wrote it', async (name, message) => {
    const loader = await loaderOf(layers, { planOnly: true });
    await expect(loader.linear(name, { rows: 15, columns: 15 })).rejects.toThrow(message);
  });

  test('is no table of embeddings', async () => {
    const loader = await loaderOf(layers);
    await expect(loader.matrix('plain.weight', { rows: 40, columns: 500 })).rejects.toThrow(
      /"plain\.weight" was quantised by bitsandbytes, which is supported for linear layers/,
    );
  });
});

describe.each(['plain', 'nested'])('a model saved by transformers, %s', (name) => {
  const folder = () => nodeFolder(fixture(`nf4/${name}`));

  test('answers as it does there', async () => {
    const golden = await Golden.open('llava-tiny');
    const expected = await tensorsOf('nf4/logits.safetensors');
    const model = await loadFixtureModel(`nf4/${name}`);
    expect((await planModel(gpu, folder())).bytes).toBeLessThanOrEqual(model.weightBytes);
    const keys = [...expected.keys()].filter((key) => key.startsWith(`${name}/`));
    expect(keys.length).toBeGreaterThan(0);
    for (const key of keys) {
      const [logits] = await runWithHooks(model, [golden.sample(key.split('/')[1]!, 'clean')], {});
      expectClose(logits ?? [], asFloat32(expected.get(key)!, key), { ofMax: GOLDEN, name: key });
    }
    model.destroy();
  });

  test('is loaded as nf4 or as it is, and as nothing else', async () => {
    expect(await weightDtypes(folder())).toEqual(['nf4']);
    for (const dtype of ['f16', 'int8'] as const)
      await expect(planModel(gpu, folder(), { dtype })).rejects.toThrow(
        new RegExp(
          `was quantised to nf4 by bitsandbytes and cannot be loaded as ${dtype}\\. Load the model as it is`,
        ),
      );
    await expect(loadModel(gpu, folder(), { maxWeightBytes: 1000 })).rejects.toThrow(
      /would take .* as nf4\.$/,
    );
  });
});

test('a saved model has the bits of one that is quantised on load', async () => {
  const golden = await Golden.open('llava-tiny');
  // The MLP that bitsandbytes was told to leave out is quantised on load in both.
  const saved = await loadFixtureModel('nf4/plain', { dtype: 'nf4' });
  const own = await loadFixtureModel('llava-tiny', { dtype: 'nf4' });
  expect(saved.weightBytes).toBe(own.weightBytes);
  for (const { id } of golden.cases.slice(0, 2)) {
    const [a] = await runWithHooks(saved, [golden.sample(id, 'clean')], {});
    const [b] = await runWithHooks(own, [golden.sample(id, 'clean')], {});
    expectSameBits(a as Float32Array, b as Float32Array);
  }
  saved.destroy();
  own.destroy();
});
