// The test server serves the project's folder, with range requests, so that a test in the browser reads fixtures
// as a page reads a model from a web server.

import { expect, it } from 'vitest';
import { asFloat32, httpFolder, readJson, readTensors } from '../../src/weights/index.ts';

const FOLDER = httpFolder('/test/fixtures/blip-tiny');

interface Cases {
  readonly cases: readonly {
    readonly id: string;
    readonly correct_token: number;
    readonly incorrect_token: number;
    readonly clean: { readonly input_ids: readonly number[] };
  }[];
}

it('reads golden tensors from the test server', async () => {
  const { cases } = (await readJson(FOLDER, 'cases.json')) as Cases;
  const golden = await FOLDER.open('golden.safetensors');
  expect(golden!.size).toBeGreaterThan(1 << 20); // more than comes with the first request
  expect(cases).toHaveLength(4);
  for (const { id, clean, correct_token, incorrect_token } of cases) {
    const names = [`${id}/clean/input_ids`, `${id}/clean/logits`, `${id}/patch/baseline`] as const;
    const tensors = await readTensors(golden!, (name) => (names as readonly string[]).includes(name));
    expect([...tensors.get(names[0])!.data]).toEqual(clean.input_ids);

    const logits = asFloat32(tensors.get(names[1])!, names[1]);
    const [probability, , difference] = asFloat32(tensors.get(names[2])!, names[2]);
    const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
    // The baseline is of another float32 run of the reference; two such runs agree within 1e-4 of the largest logit.
    const tolerance = 1e-4 * Math.max(...logits.map(Math.abs));
    const distance = logits[correct_token]! - logits[incorrect_token]! - difference!;
    expect(Math.abs(distance)).toBeLessThan(tolerance);
    expect(Math.abs(Math.log(Math.exp(logits[correct_token]!) / sum / probability!))).toBeLessThan(tolerance);
  }
});

it('learns from the test server that a file is missing', async () => {
  expect(await FOLDER.open('absent.safetensors')).toBeUndefined();
});
