// What goes into an inpainting model without a GPU: tokens, timesteps, pictures and masks.

import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { ClipTokenizer, greyOf, maskOf, pasteOver, resize } from '../../../src/inputs/index.ts';
import { parseScheduler, samplerSteps, timesteps } from '../../../src/models/index.ts';
import { decodeImage, decodeMask, fileSource } from '../../../src/platform/node/index.ts';
import { type HostTensor, readTensors } from '../../../src/weights/index.ts';
import { expectClose } from '../../support/close.ts';
import { fixture } from '../../support/golden.ts';

const folder = fixture('sd-inpaint-tiny');
const text = (name: string) => readFile(`${folder}/${name}`, 'utf8');
let golden: Map<string, HostTensor>;
const tensor = (name: string) => golden.get(name)?.data as Float32Array;
const shapeOf = (name: string) => golden.get(name)!.shape as [number, number];

beforeAll(async () => {
  const source = await fileSource(`${folder}/golden.safetensors`);
  golden = await readTensors(source).finally(() => source.close());
});

describe('ClipTokenizer', () => {
  const files = async () => ({
    vocabulary: await text('tokenizer/vocab.json'),
    merges: await text('tokenizer/merges.txt'),
    config: await text('tokenizer/tokenizer_config.json'),
    special: await text('tokenizer/special_tokens_map.json'),
  });

  it('gives the ids of CLIPTokenizer, and pads as special_tokens_map.json says', async () => {
    const tokenizer = new ClipTokenizer(await files(), 77);
    const known = JSON.parse(await text('tokenizer_cases.json')) as { text: string; ids: number[] }[];
    expect(known.length).toBeGreaterThan(15);
    for (const { text, ids } of known) {
      const cut = ids.length > 77 ? [...ids.slice(0, 76), ids.at(-1) as number] : ids;
      expect({ text, ids: tokenizer.encode(text) }).toEqual({ text, ids: cut });
      expect(tokenizer.encodePadded(text)).toEqual([...cut, ...Array<number>(77 - cut.length).fill(0)]);
      expect(tokenizer.excess(text)).toBe(Math.max(0, ids.length - 77));
    }
  });

  it('names what a folder lacks', async () => {
    const { merges: _, ...rest } = await files();
    expect(() => new ClipTokenizer(rest, 77)).toThrow('tokenizer/merges.txt is missing');
    expect(() => new ClipTokenizer({ ...rest, merges: '#version: 0.2\na b\nabc' }, 77)).toThrow(
      'tokenizer/merges.txt: merge 2 is "abc", expected two parts',
    );
  });
});

describe('the scheduler', () => {
  const config = async () =>
    JSON.parse(await text('scheduler/scheduler_config.json')) as Record<string, unknown>;

  it('takes the schedule of a PNDM config, and its timesteps', async () => {
    const scheduler = parseScheduler(await config());
    expectClose(scheduler.alphas, tensor('scheduler/alphas_cumprod'), { rtol: 1.2e-7 }); // one unit in the last place
    for (const count of [1, 6, 120])
      expect(timesteps(scheduler, count)).toEqual(Array.from(tensor(`scheduler/timesteps/${count}`)));
  });

  it.each(['epsilon', 'v_prediction'])('makes single steps of %s', async (prediction_type) => {
    const scheduler = parseScheduler({ ...(await config()), prediction_type });
    const [sample, output] = [tensor('scheduler/sample'), tensor('scheduler/model_output')];
    let compared = 0;
    for (const [name] of golden) {
      const [, own, count, index] = /^scheduler\/(\w+)\/(\d+)\/(\d+)$/.exec(name) ?? [];
      if (own !== prediction_type) continue;
      const { a, b } = samplerSteps(scheduler, Number(count))[Number(index)]!;
      const ours = sample.map((value, i) => a * value + b * (output[i] as number));
      expectClose(ours, tensor(name), { ofMax: 1e-6, name }); // the reference computes in f32
      compared++;
    }
    expect(compared).toBe(7);
  });

  it('refuses what it does not compute, and what is left out but means it', async () => {
    const usual = await config();
    const { clip_sample: _, ...without } = usual;
    expect(() => parseScheduler(without)).toThrow('"clip_sample" is left out, which DDIM takes for true');
    expect(() => parseScheduler({ ...usual, thresholding: true })).toThrow('"thresholding" is true');
    expect(() => parseScheduler({ ...usual, beta_schedule: 'squaredcos_cap_v2' })).toThrow('beta_schedule');
    // 1000 steps from 1 on would begin at 1000, which the model never saw.
    expect(() => timesteps(parseScheduler(usual), 1000)).toThrow('steps');
  });
});

describe('pictures and masks', () => {
  const read = async (name: string) => ({
    bytes: new Uint8Array(await readFile(`${folder}/images/${name}`)),
    name,
  });

  it.each(['image-down', 'image-up', 'image-same'])('%s is Pillow’s, resized by Lanczos', async (name) => {
    const [height, width] = shapeOf(`preprocess/${name}/uint8`);
    const { bytes, name: path } = await read(`pre-${name}.png`);
    expect(resize(await decodeImage(bytes, path), width, height, 'lanczos', 'pil').data).toEqual(
      golden.get(`preprocess/${name}/uint8`)?.data,
    );
  });

  it.each(['soft', 'half', 'colored', 'rgba', '1bit', 'palette', 'lines', 'shrunk'])(
    'a mask of the kind %s is resized in its own mode, then grey, then binary',
    async (kind) => {
      const name = `preprocess/mask-${kind}`;
      const [height, width] = shapeOf(`${name}/grey`);
      const { bytes, name: path } = await read(`pre-mask-${kind}.png`);
      const mask = await decodeMask(bytes, path);
      expect(greyOf(mask, width, height)).toEqual(golden.get(`${name}/grey`)?.data);
      expect(maskOf(mask, width, height)).toEqual(golden.get(`${name}/mask`)?.data);
    },
  );

  it('pasteOver keeps every pixel around the mask, and takes a picture of another size', () => {
    const flat = (width: number, height: number, value: number) => ({
      width,
      height,
      data: new Uint8Array(3 * width * height).fill(value),
    });
    const mask = Uint8Array.from([0, 1, 0, 1]);
    expect(pasteOver(flat(2, 2, 7), flat(8, 8, 200), mask).data).toEqual(
      Uint8Array.from([7, 200, 7, 200].flatMap((value) => [value, value, value])),
    );
    expect(() => pasteOver(flat(2, 2, 7), flat(2, 2, 9), new Uint8Array(3))).toThrow(
      'a mask of 3 values for a picture of 2 × 2',
    );
  });
});
