// `trace`, `sweep`, `generate` and `hooks` against what Hugging Face computed for the same inputs.

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageProcessor } from '../../src/inputs/index.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { type HostTensor, writeSafetensors } from '../../src/weights/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { expectClose } from '../support/close.ts';
import { fixture, GOLDEN, Golden, type GoldenRun } from '../support/golden.ts';
import { notice, run, tensorsOf } from './support.ts';

const MODEL = fixture('blip-tiny');

let golden: Golden;
beforeAll(async () => {
  golden = await Golden.open('blip-tiny');
});

/** The clean run of a case, with the text that it generates. */
function cleanRun({ cases }: Golden, id: string): GoldenRun & { generated_text?: string } {
  const found = cases.find((candidate) => candidate.id === id);
  if (!found) throw new Error(`no ${id}`);
  return found.clean;
}

const floats = (data: ArrayLike<number>, ...shape: number[]): HostTensor => ({
  dtype: 'F32',
  shape,
  data: Float32Array.from(data),
});
const integers = (data: ArrayLike<number>, ...shape: number[]): HostTensor => ({
  dtype: 'I32',
  shape,
  data: Int32Array.from(data),
});

async function inputFile(folder: string, tensors: Readonly<Record<string, HostTensor>>): Promise<string> {
  const file = join(folder, 'inputs.safetensors');
  await writeFile(file, writeSafetensors(new Map(Object.entries(tensors))));
  return file;
}

/** Batch of one. */
function inputsOf(id: string, side: 'clean' | 'corrupt', prefix = ''): Record<string, HostTensor> {
  const { ids } = golden.sample(id, side);
  const image = golden.image(id, side);
  return {
    [`${prefix}pixel_values`]: floats(image.data, 1, 3, image.height, image.width),
    [`${prefix}input_ids`]: integers(ids, 1, ids.length),
  };
}

/** Token ids come back as I32. */
const idsOf = (tensors: ReadonlyMap<string, HostTensor>): number[] => {
  const tensor = tensors.get('input_ids');
  if (tensor?.dtype !== 'I32') throw new Error(`input_ids is ${tensor?.dtype}`);
  return [...(tensor.data as Int32Array)];
};

const valuesOf = (tensors: ReadonlyMap<string, HostTensor>, name: string): Float32Array => {
  const tensor = tensors.get(name);
  if (!tensor) throw new Error(`no ${name} among ${[...tensors.keys()].join(', ')}`);
  expect(tensor.dtype, name).toBe('F32');
  return tensor.data as Float32Array;
};

/** Of the golden file, but no hook points: inputs, and results of whole generations. */
const NO_HOOK = /\/(pixel_values|input_ids|generate_logits|logits)$/;

describe('trace', () => {
  test('every activation of case0, f32, batch first', async () => {
    const folder = await freshFolder();
    const inputs = await inputFile(folder, inputsOf('case0', 'clean'));
    const out = join(folder, 'out.safetensors');
    const { stdout } = await run(['trace', '--model', MODEL, '--inputs', inputs, '--out', out]);
    const tensors = await tensorsOf(out);
    expect(stdout).toBe(`${tensors.size} tensors → ${out}\n`);
    const prefix = 'case0/clean/';
    const names = golden.names(prefix).filter((name) => !NO_HOOK.test(name));
    expect(names.length).toBeGreaterThan(120);
    for (const name of [...names, `${prefix}logits`]) {
      const hook = name.slice(prefix.length);
      const { shape, data } = golden.get(name);
      expect(tensors.get(hook)?.shape, hook).toEqual([1, ...shape]);
      expectClose(valuesOf(tensors, hook), data, { ofMax: GOLDEN, name: hook });
    }
  });

  test('--names: globs, inputs by name, and nothing else', async () => {
    const folder = await freshFolder();
    const inputs = await inputFile(folder, inputsOf('case0', 'clean'));
    const out = join(folder, 'out.safetensors');
    const names = 'vision.hook_out,text_encoder.blocks.*.attn.hook_z,input_ids';
    await run(['trace', '--model', MODEL, '--inputs', inputs, '--out', out, '--names', names]);
    const tensors = await tensorsOf(out);
    expect([...tensors.keys()].filter((name) => name !== 'logits').sort()).toEqual([
      'input_ids',
      ...[0, 1, 2].map((layer) => `text_encoder.blocks.${layer}.attn.hook_z`),
      'vision.hook_out',
    ]);
    expect(idsOf(tensors)).toEqual([...golden.get('case0/clean/input_ids').data]);
    expectClose(valuesOf(tensors, 'vision.hook_out'), golden.get('case0/clean/vision.hook_out').data, {
      ofMax: GOLDEN,
    });
  });

  test('attention_mask: padding is left out, activations keep their places', async () => {
    const folder = await freshFolder();
    const length = 13;
    const { ids } = golden.sample('case2', 'clean');
    const image = golden.image('case2', 'clean');
    const fill = Array(length - ids.length).fill(0);
    const ones = ids.map(() => 1);
    const pictures = [golden.image('case0', 'clean'), image, image];
    const inputs = await inputFile(folder, {
      pixel_values: floats(
        pictures.flatMap(({ data }) => [...data]),
        ...[3, 3, image.height, image.width],
      ),
      input_ids: integers(
        [...golden.get('padding/input_ids').data, ...ids, ...fill, ...fill, ...ids],
        3,
        length,
      ),
      attention_mask: {
        dtype: 'I64',
        shape: [3, length],
        data: BigInt64Array.from(
          [...golden.get('padding/attention_mask').data, ...ones, ...fill, ...fill, ...ones],
          BigInt,
        ),
      },
    });
    const out = join(folder, 'out.safetensors');
    await run(['trace', '--model', MODEL, '--inputs', inputs, '--out', out]);
    const tensors = await tensorsOf(out);
    /** Values of one row of the batch. */
    const row = (name: string, index: number) => {
      const { shape } = tensors.get(name) as HostTensor;
      expect(shape[0]).toBe(3);
      const size = shape.slice(1).reduce((product, n) => product * n, 1);
      return valuesOf(tensors, name).subarray(index * size, (index + 1) * size);
    };
    expectClose(row('logits', 0), golden.get('padding/logits_with_mask').data, { ofMax: GOLDEN });
    expectClose(row('logits', 1), golden.get('case2/clean/logits').data, { ofMax: GOLDEN });

    const stream = 'text_encoder.blocks.1.hook_resid_post'; // [batch, position, width]
    const width = row(stream, 1).length / length;
    const end = ids.length * width;
    expectClose(row(stream, 1).subarray(0, end), golden.get(`case2/clean/${stream}`).data, { ofMax: GOLDEN });
    expect(
      row(stream, 1)
        .subarray(end)
        .every((value) => value === 0),
    ).toBe(true);
    // The third row's padding stands before its prompt.
    const begin = fill.length * width;
    expect(
      row(stream, 2)
        .subarray(0, begin)
        .every((value) => value === 0),
    ).toBe(true);
    expect(
      row(stream, 2)
        .subarray(begin)
        .every((value) => value !== 0),
    ).toBe(true);

    const pattern = 'text_encoder.blocks.2.attn.hook_pattern'; // [batch, head, query, key]: padded twice
    const { shape, data: own } = golden.get(`case2/clean/${pattern}`);
    const [heads = 0, n = 0] = shape;
    const expected = new Float32Array(heads * length * length);
    own.forEach((value, i) => {
      const [h, q, k] = [Math.floor(i / n / n), Math.floor(i / n) % n, i % n];
      expected[(h * length + q) * length + k] = value;
    });
    expectClose(row(pattern, 1), expected, { ofMax: GOLDEN });
    const weight = row(pattern, 2).reduce((sum, value) => sum + value, 0);
    expect(weight).toBeCloseTo(heads * n, 3); // rows of padding are zero, the others sum to 1
  });

  test('without attention_mask padding attends and is attended', async () => {
    const folder = await freshFolder();
    const image = golden.image('case0', 'clean');
    const ids = golden.get('padding/input_ids').data;
    const inputs = await inputFile(folder, {
      pixel_values: floats(image.data, 1, 3, image.height, image.width),
      input_ids: integers(ids, 1, ids.length),
    });
    const out = join(folder, 'out.safetensors');
    await run(['trace', '--model', MODEL, '--inputs', inputs, '--out', out, '--names', 'logits']);
    const tensors = await tensorsOf(out);
    expect([...tensors.keys()]).toEqual(['logits']);
    expectClose(valuesOf(tensors, 'logits'), golden.get('padding/logits_without_mask').data, {
      ofMax: GOLDEN,
    });
  });

  test('--image and --prompt make the same inputs', async () => {
    const out = join(await freshFolder(), 'out.safetensors');
    const { text, image } = cleanRun(golden, 'case1');
    const picture = fixture(`blip-tiny/${image}`);
    const args = ['--image', picture, '--prompt', text, '--names', 'pixel_values,input_ids,logits'];
    await run(['trace', '--model', MODEL, ...args, '--out', out]);
    const tensors = await tensorsOf(out);
    expect([...tensors.keys()].sort()).toEqual(['input_ids', 'logits', 'pixel_values']);
    const of = (name: string) => golden.get(`case1/clean/${name}`).data;
    expect(idsOf(tensors)).toEqual([...of('input_ids')]);
    expect(valuesOf(tensors, 'pixel_values')).toEqual(of('pixel_values'));
    expectClose(valuesOf(tensors, 'logits'), of('logits'), { ofMax: GOLDEN });
    await run(['trace', '--model', MODEL, ...args, '--image-backend', 'torchvision', '--out', out]);
    const settings: unknown = JSON.parse(await readFile(`${MODEL}/preprocessor_config.json`, 'utf8'));
    const other = ImageProcessor.from(settings, { backend: 'torchvision' });
    const { pixelValues } = other.process(await readImage(picture));
    expect(valuesOf(await tensorsOf(out), 'pixel_values')).toEqual(pixelValues.data);
    expect(pixelValues.data).not.toEqual(of('pixel_values'));
  });
});

/** The fixtures' kinds of patches and the sites that they are. */
const KINDS = {
  output: 'text_encoder.hook_normalized_resid_post',
  mlp_out: 'text_encoder.hook_mlp_out',
  attention_block: 'text_encoder.attn.hook_z',
  crossattention_block: 'text_encoder.cross_attn.hook_z',
} as const;

describe('sweep', () => {
  async function sweepInputs(folder: string, id: string): Promise<string> {
    const found = golden.cases.find((candidate) => candidate.id === id);
    if (!found) throw new Error(id);
    return inputFile(folder, {
      ...inputsOf(id, 'clean', 'clean/'),
      ...inputsOf(id, 'corrupt', 'corrupt/'),
      answer_ids: integers([found.correct_token, found.incorrect_token], 2),
    });
  }

  test('modules', async () => {
    const id = 'case2';
    const folder = await freshFolder();
    const inputs = await sweepInputs(folder, id);
    const out = join(folder, 'out.safetensors');
    const sites = Object.values(KINDS).join(',');
    await run(['sweep', '--model', MODEL, '--inputs', inputs, '--out', out, '--sites', sites]);
    const tensors = await tensorsOf(out);
    for (const [kind, site] of Object.entries(KINDS)) {
      const { shape, data } = golden.get(`${id}/patch/${kind}`);
      expect(tensors.get(`sweep/${site}`)?.shape).toEqual(shape);
      expectClose(valuesOf(tensors, `sweep/${site}`), data, { ofMax: GOLDEN, name: kind, shape });
    }
    for (const side of ['clean', 'corrupt'])
      expectClose(valuesOf(tensors, `logits/${side}`), golden.get(`${id}/${side}/logits`).data, {
        ofMax: GOLDEN,
      });
    expect(tensors.size).toBe(6);
  });

  test('heads at some positions, in one walk and one by one', async () => {
    const folder = await freshFolder();
    const inputs = await sweepInputs(folder, 'case1');
    const site = KINDS.crossattention_block;
    const results = await Promise.all(
      ['wavefront', 'one-by-one'].map(async (mode) => {
        const out = join(folder, `${mode}.safetensors`);
        const args = ['--sites', site, '--heads', '--positions', '6,2', '--mode', mode];
        const { stdout } = await run(['sweep', '--model', MODEL, '--inputs', inputs, '--out', out, ...args]);
        expect(stdout).toMatch(/^24 patches at 1 site → /m);
        return tensorsOf(out);
      }),
    );
    const { shape, data } = golden.get('case1/patch/crossattention_block_heads');
    const [layers = 0, heads = 0, tokens = 0] = shape;
    const expected = Array.from({ length: layers * heads }, (_, cell) =>
      [6, 2].map((p) => [...data.subarray((cell * tokens + p) * 4, (cell * tokens + p + 1) * 4)]),
    ).flat(2);
    for (const tensors of results) {
      expect(tensors.get(`sweep/${site}`)?.shape).toEqual([layers, heads, 2, 4]);
      expectClose(valuesOf(tensors, `sweep/${site}`), expected, { ofMax: GOLDEN });
    }
    const [wavefront, oneByOne] = results.map((tensors) => valuesOf(tensors, `sweep/${site}`));
    expect(wavefront).toEqual(oneByOne);
  });

  test('--plan says what it would take, and writes nothing', async () => {
    const folder = await freshFolder();
    const inputs = await sweepInputs(folder, 'case0');
    const { stdout } = await run([
      'sweep',
      '--model',
      MODEL,
      '--inputs',
      inputs,
      '--sites',
      KINDS.mlp_out,
      '--plan',
    ]);
    expect(stdout).toMatch(/^30 patches in 1 walk, \d+ dispatches\n/);
    expect(stdout).toMatch(/one by one .* times as much/);
  });

  test('two prompts in one side, and an unknown site, are errors', async () => {
    const folder = await freshFolder();
    const inputs = await sweepInputs(folder, 'case0');
    const unknown = [
      'sweep',
      '--model',
      MODEL,
      '--inputs',
      inputs,
      '--out',
      'x',
      '--sites',
      'text_encoder.hook_nix',
    ];
    expect(await notice(unknown)).toMatchObject({ status: 1, stderr: expect.stringMatching(/hook_nix/) });
    const { ids } = golden.sample('case0', 'clean');
    const image = golden.image('case0', 'clean');
    const twice = await inputFile(folder, {
      ...inputsOf('case0', 'corrupt', 'corrupt/'),
      'clean/pixel_values': floats([...image.data, ...image.data], 2, 3, image.height, image.width),
      'clean/input_ids': integers([...ids, ...ids], 2, ids.length),
      answer_ids: integers([1, 2], 2),
    });
    const two = ['sweep', '--model', MODEL, '--inputs', twice, '--out', 'x', '--sites', KINDS.mlp_out];
    expect(await notice(two)).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/"clean\/" holds 2 prompts, a sweep takes one/),
    });
  });
});

describe("generate: the reference's answer on stdout and nothing else", () => {
  test.each(['blip-tiny', 'llava-tiny'])('%s', async (name) => {
    const { text, image, generated_text } = cleanRun(await Golden.open(name), 'case0');
    const args = ['--image', fixture(`${name}/${image}`), '--prompt', text, '--max-new-tokens', '10'];
    const { stdout, stderr } = await run(['generate', '--model', fixture(name), ...args]);
    expect(stdout).toBe(`${generated_text}\n`);
    expect(stderr).toBe('');
  });
});

test('hooks: names, shapes and the modules that they equal', async () => {
  const { stdout } = await run([
    'hooks',
    '--model',
    MODEL,
    '--names',
    'vision.hook_embed,*.blocks.0.*hook_mlp_out',
  ]);
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(/\s{2,}/));
  expect(rows.map(([name]) => name).sort()).toEqual([
    'text_decoder.blocks.0.hook_mlp_out',
    'text_encoder.blocks.0.hook_mlp_out',
    'vision.blocks.0.hook_mlp_out',
    'vision.hook_embed',
  ]);
  expect(rows.every((row) => row.length === 3 && /^\[/.test(row[1] ?? ''))).toBe(true);
});
