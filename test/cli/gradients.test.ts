// `trace --gradients` and `sweep --estimate` against torch.autograd's values, and with pictures and words.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type HostTensor, writeSafetensors } from '../../src/weights/index.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { expectClose } from '../support/close.ts';
import { fixture } from '../support/golden.ts';
import { GRADIENT, GradientGolden } from '../support/gradient-golden.ts';
import { notice, ROOT, run, SHAPES, tensorsOf } from './support.ts';

const integers = (data: readonly number[], ...shape: number[]): HostTensor => ({
  dtype: 'I32',
  shape,
  data: Int32Array.from(data),
});

test('gradients and estimates of a golden pair', async () => {
  const folder = await freshFolder();
  const gradients = await GradientGolden.open('blip-tiny');
  const { golden } = gradients;
  const { correct_token, incorrect_token } = golden.case('case0');
  const answers = { answer_ids: integers([correct_token, incorrect_token], 2) };
  const inputsOf = (side: 'clean' | 'corrupt', prefix = '') => {
    const { ids } = golden.sample('case0', side);
    const { data, height, width } = golden.image('case0', side);
    return {
      [`${prefix}pixel_values`]: { dtype: 'F32', shape: [1, 3, height, width], data } as HostTensor,
      [`${prefix}input_ids`]: integers(ids, 1, ids.length),
    };
  };
  const write = async (name: string, tensors: Readonly<Record<string, HostTensor>>) => {
    const file = join(folder, name);
    await writeFile(file, writeSafetensors(new Map(Object.entries(tensors))));
    return file;
  };
  const model = ['--model', fixture('blip-tiny')];

  const out = join(folder, 'trace.safetensors');
  const inputs = await write('inputs.safetensors', { ...inputsOf('corrupt'), ...answers });
  const names = ['--names', 'text_encoder.*.hook_z,text_encoder.blocks.0.hook_mlp_out'];
  await run(['trace', ...model, '--inputs', inputs, '--gradients', ...names, '--out', out]);
  const traced = await tensorsOf(out);
  for (const name of [
    'text_encoder.blocks.1.cross_attn.hook_z',
    'text_encoder.blocks.0.hook_mlp_out',
    'pixel_values',
  ]) {
    const { shape, data } = gradients.get(`case0/grad/${name}`);
    const found = traced.get(`grad/${name}`);
    expect(found?.shape, name).toEqual([1, ...shape]);
    expectClose(found?.data as Float32Array, data, { ofMax: GRADIENT, name });
    if (name !== 'pixel_values') expect(traced.get(name)?.shape).toEqual(found?.shape);
  }

  const pair = await write('pair.safetensors', {
    ...inputsOf('clean', 'clean/'),
    ...inputsOf('corrupt', 'corrupt/'),
    ...answers,
  });
  const file = join(folder, 'estimate.safetensors');
  const sites = ['--sites', 'text_encoder.hook_mlp_out', '--verify', '3'];
  const { stdout } = await run(['sweep', ...model, '--inputs', pair, '--estimate', ...sites, '--out', file]);
  expect(stdout).toMatch(
    /^of 6 patches that were measured: rank correlation -?\d\.\d{3}, \d+ % of the largest/m,
  );
  const estimate = (await tensorsOf(file)).get('estimate/text_encoder.hook_mlp_out')!;
  const layers = gradients
    .names('case0/attribution/text_encoder.')
    .filter((name) => name.endsWith('hook_mlp_out'));
  expect(estimate.shape).toEqual([layers.length, golden.sample('case0', 'clean').ids.length]);
  layers.forEach((name, layer) => {
    const { data } = gradients.get(`case0/attribution/text_encoder.${name}`);
    const own = (estimate.data as Float32Array).subarray(layer * data.length, (layer + 1) * data.length);
    expectClose(own, data, { ofMax: 2 * GRADIENT, name });
  });
});

test('of pictures and words; what does not go together is said', async () => {
  const folder = await freshFolder();
  const words = ['--correct', 'heart', '--incorrect', 'ring'];
  const picture = (side: string) => join(ROOT, `data/scenes/002_${side}.png`);
  const question = ['--prompt', 'is the triangle inside the heart or ring?'];
  const csv = join(folder, 'map.csv');
  const pictures = ['--clean', picture('clean'), '--corrupt', picture('corrupt'), ...question];
  const { stdout } = await run([
    'sweep',
    '--model',
    SHAPES,
    ...pictures,
    ...words,
    '--heads',
    '--estimate',
    '--out',
    csv,
  ]);
  expect(stdout).toMatch(/^estimate of LD' − LD\* by layer/m);
  const out = join(folder, 'trace.safetensors');
  const trace = [
    'trace',
    '--model',
    SHAPES,
    '--image',
    picture('clean'),
    ...question,
    '--gradients',
    '--out',
    out,
  ];
  await run([...trace, ...words, '--names', 'text_encoder.hook_embed']);
  expect((await tensorsOf(out)).has('grad/text_encoder.hook_embed')).toBe(true);
  expect(await notice(trace)).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/--gradients needs --correct/),
  });
  expect(await notice(['sweep', '--model', SHAPES, ...pictures, ...words, '--verify', '3'])).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/go with --estimate/),
  });
});
