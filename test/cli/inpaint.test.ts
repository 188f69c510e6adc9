// `notice inpaint`: the fixture's picture and tensors from its command line, and what it says of wrong input.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { maskOf } from '../../src/inputs/index.ts';
import { decodeMask, fileSource, readImage } from '../../src/platform/node/index.ts';
import { type HostTensor, readTensors, writeSafetensors } from '../../src/weights/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { expectClose } from '../support/close.ts';
import { fixture } from '../support/golden.ts';
import { notice, run } from './support.ts';

const MODEL = fixture('sd-inpaint-tiny');
const file = (name: string) => join(MODEL, name);

async function tensorsOf(path: string): Promise<Map<string, HostTensor>> {
  const source = await fileSource(path);
  return readTensors(source).finally(() => source.close());
}

let golden: Map<string, HostTensor>;
beforeAll(async () => {
  golden = await tensorsOf(file('golden.safetensors'));
});

const COMMAND = [
  ...[
    'inpaint',
    '--model',
    MODEL,
    '--image',
    file('images/case0_clean.png'),
    '--mask',
    file('images/case0_mask.png'),
  ],
  ...['--prompt', 'a picture of man sits chair', '--guidance', '8', '--height', '64', '--width', '128'],
];

test('the fixture’s noise gives its tensors, by its names, and a picture that differs inside the mask alone', async () => {
  const folder = await freshFolder();
  const noise = ['noise', 'posterior_noise'].map((name) => [name, golden.get(`case0/${name}`)!] as const);
  await writeFile(join(folder, 'noise.safetensors'), writeSafetensors(new Map(noise)));
  const { stdout } = await run(
    [
      ...COMMAND,
      '--steps',
      '6',
      '--noise',
      'noise.safetensors',
      '--trace',
      'trace.safetensors',
      '--out',
      'out.png',
    ],
    { cwd: folder },
  );
  expect(stdout).toContain('6 steps at 128 × 64, noise of noise.safetensors → out.png, trace.safetensors');
  const trace = await tensorsOf(join(folder, 'trace.safetensors'));
  let compared = 0;
  for (const [full, { data, shape, dtype }] of golden) {
    const [, name, thinned] = /^case0\/([^@]*)(?:@(\d+))?$/.exec(full) ?? [];
    if (name === undefined || /f64$|transformer_blocks\.0\.norm|time_/.test(name)) continue;
    const found = trace.get(name);
    if (!found) throw new Error(`${name} is not in the trace`);
    const step = Number(thinned ?? 1);
    const [, height = 1, width = 1] = found.shape;
    const own = Array.from(found.data as ArrayLike<number>).filter(
      (_, i) => step === 1 || ((i % width) % step === 0 && (Math.floor(i / width) % height) % step === 0),
    );
    expect({ name, dtype: found.dtype, values: own.length }).toEqual({ name, dtype, values: data.length });
    if (step === 1) expect({ name, shape: found.shape }).toEqual({ name, shape });
    // As in inpainting.test.ts; pictures may differ in a byte that is as near to a half as rounding is.
    if (dtype === 'F32')
      expectClose(own, data as Float32Array, { ofMax: name.startsWith('steps/') ? 1e-4 : 3e-5, name });
    else if (name !== 'image_uint8') expect(own).toEqual(Array.from(data as ArrayLike<number>));
    else expect(own.filter((value, i) => value !== data[i]).length).toBeLessThanOrEqual(2);
    compared++;
  }
  expect(compared).toBeGreaterThan(190);

  const [clean, out] = [
    await readImage(file('images/case0_clean.png')),
    await readImage(join(folder, 'out.png')),
  ];
  expect([out.width, out.height]).toEqual([clean.width, clean.height]);
  const mask = maskOf(
    await decodeMask(new Uint8Array(await readFile(file('images/case0_mask.png'))), 'mask'),
    clean.width,
    clean.height,
  );
  const changed = Array.from(clean.data).flatMap((value, i) =>
    value === out.data[i] ? [] : [mask[Math.floor(i / 3)] as number],
  );
  expect(changed.length).toBeGreaterThan(100);
  expect(changed.every((inside) => inside === 1)).toBe(true);
});

test('a seed gives the same picture again, another one another; without pasting all pixels are the model’s', async () => {
  const folder = await freshFolder();
  const paint = async (out: string, ...more: string[]) => {
    await run([...COMMAND, '--steps', '1', ...more, '--out', out], { cwd: folder });
    return readFile(join(folder, out));
  };
  const first = await paint('a.png', '--seed', '3');
  expect(await paint('b.png', '--seed', '3')).toEqual(first);
  expect(await paint('c.png', '--seed', '4')).not.toEqual(first);
  await paint('d.png', '--seed', '3', '--no-paste');
  const [clean, whole] = [
    await readImage(file('images/case0_clean.png')),
    await readImage(join(folder, 'd.png')),
  ];
  expect(clean.data.filter((value, i) => value !== whole.data[i]).length).toBeGreaterThan(
    clean.data.length / 2,
  );
});

test('plan --inpaint says what a picture takes before anything is loaded', async () => {
  const plan = async (...more: string[]) => {
    const { stdout } = await run([
      'plan',
      '--inpaint',
      '--model',
      MODEL,
      '--rate',
      '1',
      '--width',
      '64',
      '--height',
      '64',
      ...more,
    ]);
    const row = stdout.split('\n').find((line) => line.startsWith('| steps'))!;
    const [, , times, operations] = row.split('|').map((cell) => cell.trim());
    const [, value, prefix = ''] = /^([\d.]+) ([kMGT]?)FLOP$/.exec(operations!) ?? [];
    return { stdout, times, flops: Number(value) * 1000 ** ['', 'k', 'M', 'G', 'T'].indexOf(prefix) };
  };
  const [long, short] = [await plan('--steps', '100'), await plan('--steps', '10')];
  expect([long.times, short.times]).toEqual(['100', '10']);
  expect(long.flops / short.flops).toBeCloseTo(10, 1); // both of three digits
  // The tiny model's 357 204, 100 247 and 39 840 parameters in f32.
  for (const part of [/unet +\| 1\.\d MiB/, /vae +\| 0\.\d MiB/, /text_encoder +\| 0\.\d MiB/])
    expect(long.stdout).toMatch(part);
});

test.each([
  ['a size that does not fit', ['--width', '100'], 'multiples of 8'],
  ['noise of another size', ['--noise', file('golden-f16.safetensors')], 'no tensor "noise"'],
  ['names without a trace', ['--names', 'unet/*'], '--names goes with --trace'],
  ['a picture that is not there', ['--image', 'nothing.png'], 'no such file'],
  ['a model of another kind', ['--model', fixture('blip-tiny')], 'model_index.json'],
])('%s is said', async (_, more, message) => {
  const folder = await freshFolder();
  const { stderr, status } = await notice([...COMMAND, '--steps', '1', ...more, '--out', 'out.png'], {
    cwd: folder,
  });
  expect(status).toBeGreaterThan(0);
  expect(stderr).toContain(message);
});
