// `notice attention`: its numbers are those of the patterns, its figure a picture.

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { loadModel, Processor } from '../../src/models/index.ts';
import { runWithCache } from '../../src/patching/index.ts';
import { nodeFolder, readImage } from '../../src/platform/node/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { testGpu } from '../support/gpu.ts';
import { notice, ROOT, run, SHAPES } from './support.ts';

const IMAGE = join(ROOT, 'data/scenes/002_clean.png');
const PROMPT = 'is the triangle inside the heart or ring?';
const COMMAND = ['attention', '--model', SHAPES, '--image', IMAGE, '--prompt', PROMPT];

test('the heads asked for, from a word, with a box and a figure', async () => {
  const folder = await freshFolder();
  const { stdout } = await run(
    [...COMMAND, '--from', 'heart', '--heads', '0.1,3.2', '--box', '0,0,32,64', '--out', 'heads.png'],
    { cwd: folder },
  );
  const rows = stdout
    .split('\n')
    .slice(2, 4)
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
  expect(rows.map(([head]) => head)).toEqual(['L0.H1', 'L3.H2']);

  const gpu = await testGpu();
  const source = nodeFolder(SHAPES);
  const model = await loadModel(gpu, source);
  const processor = await Processor.load(model, source);
  const sample = processor.sample(await readImage(IMAGE), PROMPT);
  const word = processor.prompt(PROMPT).encoded.tokens.indexOf('heart');
  for (const [i, [block, head]] of [
    [0, 1],
    [3, 2],
  ].entries()) {
    const hook = `text_encoder.blocks.${block}.cross_attn.hook_pattern`;
    const { cache } = await runWithCache(model, [sample], { names: [hook] });
    const [, , queries = 0, keys = 0] = cache.get(hook).shape;
    const pattern = await cache.read(hook);
    cache.release();
    // Key 0 is the class token; the others are 8 × 8 patches of 8 pixels, of which the box holds the left half.
    const at = ((head ?? 0) * queries + word) * keys;
    const patches = [...pattern.subarray(at + 1, at + keys)];
    const sum = patches.reduce((a, b) => a + b, 0);
    const left = patches.filter((_, p) => p % 8 < 4).reduce((a, b) => a + b, 0);
    const entropy = -patches.reduce((e, a) => e + (a / sum) * Math.log(a / sum), 0) / Math.log(64);
    const numbers = (rows[i] ?? []).slice(1).map(Number);
    // Three digits are printed.
    [sum, entropy, left / sum, 0.5].forEach((expected, n) => {
      expect(numbers[n]).toBeCloseTo(expected, 2);
    });
  }
  model.destroy();
  const { width, height } = await sharp(await readFile(join(folder, 'heads.png'))).metadata();
  expect(width).toBeGreaterThan(400);
  expect(height).toBeGreaterThan(300);
});

test('the strongest heads by default', async () => {
  const { stdout } = await run([...COMMAND, '--strongest', '3']);
  expect(stdout.match(/^\| L\d\.H\d/gm)).toHaveLength(3);
});

test.each([
  [['--heads', '3'], /"3" is not a head/, 2],
  [['--heads', '9.0'], /there is no head 0 of block 9/, 1],
  [['--from', 'square'], /square/, 1],
  [['--box', '5,5,5,9'], /left,top,right,bottom/, 2],
  [['--out', 'heads.gif'], /\.png or \.svg/, 2],
] as const)('%j is refused', async (options, message, status) => {
  expect(await notice([...COMMAND, ...options])).toMatchObject({
    status,
    stderr: expect.stringMatching(message),
  });
});
