// `notice knockout` with pictures and words, or a file: edges by name, on the terminal and in every kind of file.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { loadModel, Processor } from '../../src/models/index.ts';
import { knockout } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { expectSameBits } from '../support/close.ts';
import { testGpu } from '../support/gpu.ts';
import { notice, ROOT, run, SHAPES, tensorsOf } from './support.ts';

const LLAVA = join(ROOT, 'weights/llava-shapes');
const PICTURE = join(ROOT, 'data/scenes/002_clean.png');
const QUESTION = 'is the triangle inside the heart or ring?';
const CLEAN = ['--clean', PICTURE, '--prompt', QUESTION, '--correct', 'heart', '--incorrect', 'ring'];

test('llava-shapes: the ways from the image to the last position, in five formats', async () => {
  const folder = await freshFolder();
  const files = ['safetensors', 'parquet', 'csv', 'png', 'svg'].map((end) => join(folder, `flow.${end}`));
  const [tensors = '', parquet = '', csv = '', png = '', svg = ''] = files;
  const outs = files.flatMap((file) => ['--out', file]);
  const { stdout } = await run(['knockout', '--model', LLAVA, ...CLEAN, '--window', '2', ...outs]);
  expect(stdout.match(/^24 knock-outs of 4 groups of edges → /gm)).toHaveLength(5);
  const names = ['image → question', 'image → last', 'question → last', 'options → last'];
  const written = await tensorsOf(tensors);
  const changes = names.flatMap((name) => {
    const { shape, data } = written.get(`knockout/${name}`) as {
      shape: readonly number[];
      data: Float32Array;
    };
    expect(shape).toEqual([6, 4]);
    return Array.from({ length: 6 }, (_, i) => data[4 * i + 3] as number);
  });
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(parquet) });
  expect(rows.map((row) => row.p_change)).toEqual(changes);
  const read = parse(await readFile(csv), { columns: true, bom: true }) as Record<string, string>[];
  expect(read.map((row) => Math.fround(Number(row.p_change)))).toEqual(changes);
  expect(read[9]).toMatchObject({
    ...{ edges: 'image → last', attention: 'language.attn', head: '' },
    ...{ layer: '3', first_layer: '2', last_layer: '3' },
  });
  expect((await sharp(await readFile(png)).metadata()).width).toBeGreaterThan(800);
  expect(await readFile(svg, 'utf8')).toContain('Windows of 2 blocks');

  // The words mean these positions.
  const model = await loadModel(await testGpu(), nodeFolder(LLAVA));
  const processor = await Processor.load(model, nodeFolder(LLAVA));
  const sample = processor.sample(await readImage(PICTURE), QUESTION);
  const { encoded, positions } = processor.prompt(QUESTION, sample.images);
  const options = positions.filter((_, i) => /heart|ring/.test(encoded.tokens[i] as string));
  expect(options).toHaveLength(2);
  const edges = { from: options, to: [sample.ids.length - 1], layers: [2, 3] };
  const [logits] = await knockout(model, [sample], edges);
  const [heart, ring] = [logits!, written.get('logits')!.data as Float32Array].map(
    (row) => row[processor.tokenizer.tokenToId('▁heart') ?? processor.tokenizer.tokenToId('heart')!],
  ) as [number, number];
  expect(heart).not.toBe(ring);
  const { data } = written.get('knockout/options → last') as { data: Float32Array };
  const shares = logits!.map((x) => Math.exp(x - Math.max(...logits!)));
  const p = Math.exp(heart - Math.max(...logits!)) / shares.reduce((a, b) => a + b, 0);
  expect(data[4 * 3]).toBeCloseTo(p, 5);
  model.destroy();
});

test('blip-shapes: its decoder reads the question; the file of a sweep gives the same', async () => {
  const folder = await freshFolder();
  const words = join(folder, 'words.safetensors');
  const { stdout } = await run([
    'knockout',
    '--model',
    SHAPES,
    ...CLEAN,
    '--edges',
    'heart:last',
    '--out',
    words,
  ]);
  expect(stdout).toMatch(/^P\(heart\)|with all edges P\(heart\) 0\.99/m);
  const inputs = join(folder, 'pair.safetensors');
  await run([
    ...['trace', '--model', SHAPES, '--image', PICTURE, '--side', 'clean', '--prompt', QUESTION],
    ...['--names', 'pixel_values,input_ids', '--out', inputs],
  ]);
  const numbers = join(folder, 'numbers.safetensors');
  await run([
    ...['knockout', '--model', SHAPES, '--inputs', inputs, '--correct', 'heart', '--incorrect', 'ring'],
    ...['--edges', '7:11', '--edges', 'image:all', '--edges', 'text_decoder.cross_attn:last:all', '--heads'],
    ...['--out', numbers],
  ]);
  const [byWord, byNumber] = await Promise.all([tensorsOf(words), tensorsOf(numbers)]);
  const one = byWord.get('knockout/heart → last')!;
  expect(one.shape).toEqual([4, 4]);
  expect(byNumber.get('knockout/7 → 11')!.shape).toEqual([4, 4, 4]);
  expect(byNumber.get('knockout/text_decoder.cross_attn: last → all')!.shape).toEqual([4, 4, 4]);
  expectSameBits(byNumber.get('logits')!.data as Float32Array, byWord.get('logits')!.data as Float32Array);
});

test.each([
  [['--edges', 'image'], /--edges image: expected from:to/],
  [['--edges', 'text_encoder.cross_attn:heart:all'], /text_encoder\.cross_attn has no positions "heart"/],
  [['--edges', 'vision.attn:image:last'], /vision\.attn has no positions "last"/],
  [['--edges', 'zebra:last'], /"zebra" stands 0 times/],
  [['--edges', 'heart:last', '--edges', 'heart:last'], /heart → last is given twice/],
  [['--out', 'flow.txt'], /expected a name that ends in/],
])('%j is refused', async (more, message) => {
  const { status, stderr } = await notice(['knockout', '--model', SHAPES, ...CLEAN, ...more]);
  expect(status).toBe(message.source.includes('zebra') ? 1 : 2); // a mistake of the data, or of the command line
  expect(stderr).toMatch(message);
});
