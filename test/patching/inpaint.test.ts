// Changing an inpainting model while it paints.

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type InpaintingModel, loadInpainting } from '../../src/models/index.ts';
import { type InpaintOptions, inpaint, type StepIntervention } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/index.ts';
import { expectSameBits } from '../support/close.ts';
import { fixture } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';
import { Random } from '../support/random.ts';

const SIZE = 16; // two cells of latents both ways
const CROSS = 'unet_down_0_0.blocks.0.cross_attn';
let model: InpaintingModel;

beforeAll(async () => {
  model = await loadInpainting(await testGpu(), await nodeFolder(fixture('sd-inpaint-tiny')));
});
afterAll(() => model.destroy());

function paint(options: InpaintOptions = {}) {
  const random = new Random(5);
  const data = Uint8Array.from({ length: 3 * SIZE * SIZE }, () => random.integer(256));
  const mask = Uint8Array.from({ length: SIZE * SIZE }, (_, i) => Number(i % SIZE < SIZE / 2));
  return inpaint(model, { width: SIZE, height: SIZE, data }, mask, 'a picture of dog runs grass', {
    steps: 2,
    ...options,
  });
}

describe('interventions', () => {
  it('of what is there already change nothing, at every step and in both halves', async () => {
    const plain = await paint({ names: [`${CROSS}.hook_pattern`, 'unet_up_3_1.hook_resnet'] });
    const interventions = [0, 1].flatMap((step) => {
      const cache = plain.caches.get(step)!;
      return [`${CROSS}.hook_pattern`, 'unet_up_3_1.hook_resnet'].map(
        (hook): StepIntervention => ({
          hook,
          op: 'replace',
          source: { cached: cache.get(hook) },
          steps: [step],
        }),
      );
    });
    const again = await paint({ interventions });
    expectSameBits(again.latents, plain.latents);
    plain.release();
  });

  it('change the steps that they name, and what comes behind', async () => {
    const names = ['unet_in.hook_input'];
    const plain = await paint({ names });
    const late = await paint({
      names,
      interventions: [{ hook: `${CROSS}.hook_z`, op: 'zero', run: 1, steps: [1] }],
    });
    const input = async (of: typeof plain, step: number) => of.caches.get(step)!.read('unet_in.hook_input');
    expectSameBits(await input(late, 1), await input(plain, 1));
    expect(late.latents).not.toEqual(plain.latents);
    const early = await paint({
      names,
      interventions: [{ hook: `${CROSS}.hook_z`, op: 'zero', run: 1, steps: [0] }],
    });
    expect(await input(early, 1)).not.toEqual(await input(plain, 1));
    for (const one of [plain, late, early]) one.release();
  });

  it('of the text of one half leave the other’s as it is', async () => {
    const names = ['text_encoder.hook_out'];
    const plain = await paint({ names });
    const changed = await paint({
      names,
      interventions: [{ hook: 'text_encoder.blocks.0.attn.hook_z', op: 'zero', run: 1, heads: [2] }],
    });
    const [before, after] = await Promise.all(
      [plain, changed].map((one) => one.caches.get('text')!.read('text_encoder.hook_out')),
    );
    const half = before!.length / 2;
    expectSameBits(after!.subarray(0, half), before!.subarray(0, half));
    expect(after!.subarray(half)).not.toEqual(before!.subarray(half));
    plain.release();
    changed.release();
  });

  it('that cannot be are refused', async () => {
    await expect(
      paint({ interventions: [{ hook: `${CROSS}.hook_z`, op: 'zero', steps: [2] }] }),
    ).rejects.toThrow('step 2 of 2 does not exist');
    await expect(
      paint({ interventions: [{ hook: 'text_encoder.hook_out', op: 'zero', steps: [0] }] }),
    ).rejects.toThrow('no part of the UNet');
    await expect(paint({ interventions: [{ hook: `${CROSS}.hook_zz`, op: 'zero' }] })).rejects.toThrow(
      `${CROSS}.hook_z`,
    );
    await expect(
      paint({ guidance: 1, interventions: [{ hook: `${CROSS}.hook_z`, op: 'zero', run: 1 }] }),
    ).rejects.toThrow('batch row 1 of 1');
  });
});

it('ends when it is told to, and frees what it holds', async () => {
  const { gpu } = model;
  const before = gpu.pool.statistics.usedBytes;
  const controller = new AbortController();
  const stopped = paint({
    steps: 20,
    signal: controller.signal,
    names: 'unet_*.hook_resnet',
    onStep: () => controller.abort(new Error('enough')),
  });
  await expect(stopped).rejects.toThrow('enough');
  expect(gpu.pool.statistics.usedBytes).toBe(before);
});

it('costs what it takes: memory as estimated, operations by the shapes', async () => {
  const { step } = await model.estimate({ width: SIZE, height: SIZE }, 2);
  const { step: half } = await model.estimate({ width: SIZE, height: SIZE }, 1);
  // Two runs do everything twice but the time's embedding.
  expect(step.flops / half.flops).toBeGreaterThan(1.9);
  expect(step.peakBytes).toBeGreaterThan(half.peakBytes);
});
