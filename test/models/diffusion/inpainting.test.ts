import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maskOf, resize } from '../../../src/inputs/index.ts';
import { type InpaintingModel, loadInpainting } from '../../../src/models/index.ts';
import { type Inpainted, inpaint } from '../../../src/patching/index.ts';
import { decodeImage, decodeMask, fileSource, nodeFolder } from '../../../src/platform/node/index.ts';
import { type HostTensor, readTensors } from '../../../src/weights/index.ts';
import { expectClose } from '../../support/close.ts';
import { fixture } from '../../support/golden.ts';
import { testGpu } from '../../support/gpu.ts';

/** The reference's own f32 error is up to 6e-6 of a tensor's largest value (INPAINTING.md): room for as much of ours, five times. */
const MODULE = 3e-5;
/** Of a whole run: what steps add up to. */
const RUN = 1e-4;

interface Case {
  readonly id: string;
  readonly prompt: string;
  readonly negative_prompt: string | null;
  readonly image: string;
  readonly mask: string;
  readonly height: number;
  readonly width: number;
  readonly num_inference_steps: number;
  readonly guidance_scale: number;
}

const folder = fixture('sd-inpaint-tiny');
const file = (name: string) => readFile(`${folder}/${name}`);
let model: InpaintingModel;
let golden: Map<string, HostTensor>;
let cases: readonly Case[];

const tensor = (name: string) => golden.get(name)?.data as Float32Array;

beforeAll(async () => {
  model = await loadInpainting(await testGpu(), await nodeFolder(folder));
  const source = await fileSource(`${folder}/golden.safetensors`);
  golden = await readTensors(source).finally(() => source.close());
  cases = JSON.parse(await readFile(`${folder}/cases.json`, 'utf8')).cases;
});
afterAll(() => model.destroy());

async function paint(of: Case, options: Parameters<typeof inpaint>[4] = {}): Promise<Inpainted> {
  const { id, width, height } = of;
  const image = resize(await decodeImage(await file(of.image), of.image), width, height, 'lanczos', 'pil');
  expect(image.data).toEqual(golden.get(`${id}/resized_uint8`)?.data);
  const mask = maskOf(await decodeMask(await file(of.mask), of.mask), width, height);
  expect(mask).toEqual(golden.get(`${id}/mask`)?.data);
  return inpaint(model, image, mask, of.prompt, {
    steps: of.num_inference_steps,
    guidance: of.guidance_scale,
    negativePrompt: of.negative_prompt ?? '',
    noise: { latents: tensor(`${id}/noise`), posterior: tensor(`${id}/posterior_noise`) },
    ...options,
  });
}

/** Bytes may differ by one where the value is as near to a half as rounding is to it. */
function expectPicture(painted: Inpainted, expected: ArrayLike<number>): void {
  const planes = painted.decoded.length / 3;
  const off = Array.from(expected).flatMap((byte, i) => {
    const own = painted.image.data[i] as number;
    if (own === byte) return [];
    const value = 255 * (0.5 * (painted.decoded[(i % 3) * planes + Math.floor(i / 3)] as number) + 0.5);
    return Math.abs(own - byte) === 1 && Math.abs(Math.abs(value % 1) - 0.5) < 0.05 ? [] : [i];
  });
  expect(off).toEqual([]);
}

describe.each([0, 1, 2, 3, 4])('case%i', (index) => {
  it('tokens, posterior, latents and picture are diffusers’', async () => {
    const of = cases[index] as Case;
    const painted = await paint(of);
    const ids = of.guidance_scale > 1 ? [`${of.id}/uncond`, `${of.id}/cond`] : [`${of.id}/cond`];
    expect(painted.ids).toEqual(ids.map((name) => Array.from(tensor(`${name}/input_ids`))));
    expect(painted.timesteps).toEqual(Array.from(tensor(`${of.id}/timesteps`)));
    const close = (ours: Float32Array, name: string, ofMax: number) =>
      expectClose(ours, tensor(`${of.id}/${name}`), { ofMax, name });
    close(painted.posterior.mean, 'vae_mean', MODULE);
    close(painted.posterior.logVariance, 'vae_logvar', MODULE);
    close(painted.maskedLatents, 'masked_image_latents', MODULE);
    close(painted.latents, 'final_latents_f64', RUN);
    expectPicture(painted, tensor(`${of.id}/image_uint8`));
  });
});

describe('hook points', () => {
  let painted: Inpainted;
  beforeAll(async () => {
    painted = await paint(cases[0] as Case, { names: '*', cachedSteps: [0] });
  });
  afterAll(() => painted.release());

  /** The hook point of a diffusers module. */
  function hookOf(module: string): string | undefined {
    const pattern = /^(.*\.(attn[12]))\.probabilities$/.exec(module);
    if (pattern) {
      const found = hookOf(`${pattern[1]}.to_out.0`);
      return found?.replace(/hook_.*$/, `${pattern[2] === 'attn1' ? 'attn' : 'cross_attn'}.hook_pattern`);
    }
    const names = [
      module,
      `${module}.to_out.0`,
      ...(module.endsWith('ff.net.0') ? [`input of ${module.slice(0, -1)}2`] : []),
    ];
    return model.hooks.find((hook) => names.includes(hook.module))?.name;
  }

  /** Rows of pixels as [channels, height, width], every `step`-th pixel both ways. */
  function planes(rows: Float32Array, height: number, width: number, step: number): Float32Array {
    const channels = rows.length / (height * width);
    const out: number[] = [];
    for (let c = 0; c < channels; c++)
      for (let y = 0; y < height; y += step)
        for (let x = 0; x < width; x += step) out.push(rows[(y * width + x) * channels + c] as number);
    return Float32Array.from(out);
  }

  /** Modules of the fixture that are no hook points: what they give is seen in those behind them. */
  const INSIDE = /transformer_blocks\.0\.norm|time_/;

  it('of UNet and autoencoder are the outputs of diffusers’ modules', async () => {
    let compared = 0;
    for (const [name, { shape }] of golden) {
      const [, part, module, thinned] = /^case0\/(unet|vae)\/([^@]*)(?:@(\d+))?$/.exec(name) ?? [];
      if (module === undefined || INSIDE.test(module)) continue;
      const hook = hookOf(module);
      if (!hook) throw new Error(`${name}: no hook point`);
      const cache = painted.caches.get(
        part === 'unet' ? 0 : module.includes('encoder') || module === 'quant_conv' ? 'encode' : 'decode',
      );
      const of = cache?.get(hook);
      if (!cache || !of) throw new Error(`${hook} was not cached`);
      const all = await cache.read(hook);
      const runs = of.lengths.length;
      const last = all.slice(((runs - 1) * all.length) / runs); // the conditioned half
      const step = Number(thinned ?? 1);
      const maps = shape.length === 3 && !hook.includes('pattern');
      const [, height = 0, width = 0] = shape as number[];
      const pixels = last.length / (of.heads * of.size);
      const full = maps
        ? [Math.sqrt((pixels * height) / width), Math.sqrt((pixels * width) / height)]
        : [0, 0];
      const ours = maps ? planes(last, Math.round(full[0]!), Math.round(full[1]!), step) : last;
      expectClose(ours, golden.get(name)!.data as Float32Array, { ofMax: MODULE, name });
      compared++;
    }
    // All that the fixture holds, but those named above.
    expect(compared).toBe(167);
  });

  it('are the same picture, seen or not', async () => {
    const unseen = await paint(cases[0] as Case);
    // Sums are rounded once more where somebody looks between.
    expectClose(unseen.latents, painted.latents, { ofMax: MODULE });
  });

  it('hook_hidden is conv1 moved by the time', async () => {
    const rows = await painted.caches.get(0)!.read('unet_down_0_0.hook_hidden');
    const conv = tensor('case0/unet/down_blocks.0.resnets.0.conv1');
    const time = tensor('case0/unet/down_blocks.0.resnets.0.time_emb_proj');
    const sum = conv.map((value, i) => value + (time[Math.floor(i / 128)] as number));
    expectClose(planes(rows.slice(rows.length / 2), 8, 16, 1), sum, { ofMax: MODULE });
  });

  it('of the text encoder are the hidden states', async () => {
    const cache = painted.caches.get('text')!;
    const last = async (hook: string) => (await cache.read(hook)).slice(77 * 24);
    for (const [layer, hook] of [
      'hook_embed',
      ...[0, 1, 2].map((l) => `blocks.${l}.hook_resid_post`),
    ].entries())
      expectClose(await last(`text_encoder.${hook}`), tensor(`case0/cond/text_hidden.${layer}`), {
        ofMax: MODULE,
      });
    expectClose(await last('text_encoder.hook_out'), tensor('case0/cond/text_embeddings'), { ofMax: MODULE });
  });
});
