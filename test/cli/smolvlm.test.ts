// The commands with a model that cuts its pictures and reads several in a prompt.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type HostTensor, writeSafetensors } from '../../src/weights/index.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture } from '../support/golden.ts';
import { notice, run, tensorsOf } from './support.ts';

const MODEL = fixture('smolvlm-tiny');
const picture = (name: string) => fixture(`smolvlm-tiny/images/${name}.png`);
const QUESTION = 'Is this person feeling afraid or angry?';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-smolvlm-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('generate: --image again for each image of the prompt', async () => {
  const ask = (...images: string[]) => [
    'generate',
    '--model',
    MODEL,
    ...images.flatMap((name) => ['--image', picture(name)]),
  ];
  const one = await run([...ask('case0_clean'), '--prompt', QUESTION, '--max-new-tokens', '8']);
  expect(one.stdout).toBe('m running running\n');
  const two = await run([
    ...ask('case0_clean', 'case2_clean'),
    '--prompt',
    QUESTION,
    '--max-new-tokens',
    '8',
  ]);
  expect(two.stdout).not.toBe(one.stdout);
  const short = await notice([...ask('case0_clean'), '--prompt', '<image> and <image>?']);
  expect(short).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/<image> 2 times; .* there are 1/),
  });
});

test('what trace writes is what sweep reads, and the same as pictures given to it', async () => {
  const pair = join(folder, 'pair.safetensors');
  const inputs = ['input_ids', 'pixel_attention_mask', 'pixel_values'];
  const answers = ['--correct', 'angry', '--incorrect', 'afraid'];
  // The clean side twice: what stood there is replaced.
  for (const side of ['clean', 'corrupt', 'clean']) {
    const given = ['--image', picture(`case0_${side}`), '--prompt', QUESTION, '--side', side];
    await run(['trace', '--model', MODEL, ...given, '--names', 'pixel_values,input_ids', '--out', pair]);
  }
  const written = await tensorsOf(pair);
  const names = ['clean', 'corrupt'].flatMap((side) => inputs.map((name) => `${side}/${name}`));
  expect([...written.keys()].sort()).toEqual(names);
  const sweep = async (out: string, ...args: string[]) => {
    const file = join(folder, out);
    const sites = ['--sites', 'vision.hook_mlp_out', '--positions', '0:1,2:8,63'];
    const { stdout } = await run(['sweep', '--model', MODEL, ...args, ...sites, '--out', file]);
    expect(stdout).toMatch(/^6 patches at 1 site/m);
    return (await tensorsOf(file)).get('sweep/vision.hook_mlp_out') as HostTensor & { data: Float32Array };
  };
  const ofFile = await sweep('file.safetensors', '--inputs', pair, ...answers);
  const pictures = ['--clean', picture('case0_clean'), '--corrupt', picture('case0_corrupt')];
  const given = await sweep('given.safetensors', ...pictures, '--prompt', QUESTION, ...answers);
  expect(ofFile.shape).toEqual([2, 3, 4]);
  expectSameBits(given.data, ofFile.data);

  await writeFile(
    pair,
    writeSafetensors(written.set('answer_ids', { dtype: 'I32', shape: [2], data: Int32Array.of(317, 379) })),
  );
  const of = (site: string, positions: string) => [
    'sweep',
    '--model',
    MODEL,
    '--inputs',
    pair,
    '--sites',
    site,
    '--positions',
    positions,
    '--out',
    join(folder, 'x'),
  ];
  const { stdout } = await run(of('language.hook_resid_post', '7,8,9,19'));
  expect(stdout).toMatch(
    /largest effect on the logit difference [-.\de]+, block \d, image 0, tile \d, row \d, column \d/,
  );
  expect(await notice(of('language.hook_mlp_out', '2:8'))).toMatchObject({
    status: 2,
    stderr: expect.stringMatching(/has no position 8 in a tile 2/),
  });
});
