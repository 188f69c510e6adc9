// Stable Diffusion's inpainting: prompt, picture and mask to another picture. Behaviour is that of diffusers'
// StableDiffusionInpaintPipeline with the DDIM scheduler, strength 1 and eta 0.

import { checkAborted, signalsOf } from '../../abort.ts';
import { checkFinite, checkFloats, checkSignal, checkWhole } from '../../check.ts';
import { NoticeError } from '../../errors.ts';
import { columnsOf, type Gpu, type Tensor, type Work, type WorkEstimate } from '../../gpu/index.ts';
import type { ClipTokenizer, RgbImage } from '../../inputs/index.ts';
import { type FeatureMaps, gatherRows, guide, mix } from '../../kernels/index.ts';
import { seeded } from '../../random.ts';
import type { WeightLoader, WeightPlan } from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import { ModelRun } from '../model.ts';
import { NO_PROBE, type Probe, type TowerConfig } from '../tower/index.ts';
import {
  latentMask,
  maskedPixels,
  type Posterior,
  posteriorOf,
  posteriorSample,
  stillChannels,
  toBytes,
  toPlanes,
  toRows,
} from './arrays.ts';
import type { MapWalk } from './maps.ts';
import { type SchedulerConfig, samplerSteps } from './scheduler.ts';
import { type TextEncoder, textHooks } from './text-encoder.ts';
import type { Texts } from './transformer.ts';
import { type Unet, unetConfigs, unetHooks } from './unet.ts';
import { type Vae, vaeHooks } from './vae.ts';

/** A picture and where it is to be painted over, of one size. */
export interface Canvas {
  readonly image: RgbImage;
  /** [height · width], 1 where it is painted over, else 0. */
  readonly mask: Uint8Array;
}

/** What is given for random numbers, channels first as torch has them. */
export interface GivenNoise {
  /** [latent channels, height / factor, width / factor]: the latents that the run begins with. */
  readonly latents: Float32Array;
  /** As large: what the masked picture's posterior is sampled with. */
  readonly posterior: Float32Array;
}

export type Phase = 'text' | 'encode' | 'step' | 'decode';

/** What happens after a step. */
export interface StepInfo {
  /** From 0. */
  readonly step: number;
  readonly steps: number;
  readonly timestep: number;
}

export interface PaintOptions {
  /** Default 50. */
  readonly steps?: number;
  /** How far predictions are moved away from the negative prompt's; at 1 or less there is one pass a step. Default 7.5. */
  readonly guidance?: number;
  /** Default ''. */
  readonly negativePrompt?: string;
  /** Of the noise, where none is given. Default 0. */
  readonly seed?: number;
  readonly noise?: GivenNoise;
  readonly onStep?: ((info: StepInfo) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Makes what looks at and changes the activations of a phase; the UNet's phase has a number, its step. */
  readonly probe?: (w: Work, runs: readonly ModelRun[], phase: Phase, step: number) => Probe | undefined;
  /** Called at the end of a phase, while what its probe holds is still there. */
  readonly onPhase?: (w: Work, phase: Phase, step: number) => Promise<void>;
}

/** A painted picture. Maps are channels first. */
export interface Painting {
  /** Of the canvas' size. */
  readonly image: RgbImage;
  /** [3, height, width], before it is clamped to −1 … 1. */
  readonly decoded: Float32Array;
  readonly latents: Float32Array;
  readonly maskedLatents: Float32Array;
  readonly posterior: Posterior;
  /** What was given, or drawn from the seed. */
  readonly noise: GivenNoise;
  /** Token ids, the unconditioned prompt's first where there is one. */
  readonly ids: readonly (readonly number[])[];
  readonly timesteps: readonly number[];
}

/** In pixels. */
export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

interface LatentSize {
  readonly latents: { readonly width: number; readonly height: number };
}

/** What an inpainting model is made of. */
export interface InpaintingParts {
  readonly unet: Unet;
  readonly vae: Vae;
  readonly textEncoder: TextEncoder;
  readonly tokenizer: ClipTokenizer;
  readonly scheduler: SchedulerConfig;
}

export class InpaintingModel {
  readonly gpu: Gpu;
  readonly tokenizer: ClipTokenizer;
  readonly scheduler: SchedulerConfig;
  /** Pixels per latent, in height and in width. */
  readonly factor: number;
  /** Height and width that it was trained with. */
  readonly imageSize: number;
  /** In the order of computation, beside diffusers' modules. The UNet's are passed at every step. */
  readonly hooks: readonly HookInfo[];
  /** Settings of the text encoder and of the UNet's transformers. */
  readonly configs: readonly TowerConfig[];
  readonly #parts: InpaintingParts;
  readonly #loaders: readonly WeightLoader[];

  constructor(gpu: Gpu, parts: InpaintingParts, loaders: readonly WeightLoader[]) {
    const { unet, vae, textEncoder, tokenizer, scheduler } = parts;
    this.gpu = gpu;
    this.tokenizer = tokenizer;
    this.scheduler = scheduler;
    this.factor = vae.config.factor;
    this.imageSize = unet.config.sampleSize * this.factor;
    this.hooks = [
      ...textHooks(textEncoder.config),
      ...vaeHooks(vae.config, 'encoder'),
      ...unetHooks(unet.config),
      ...vaeHooks(vae.config, 'decoder'),
    ];
    this.configs = [textEncoder.config.tower, ...unetConfigs(unet.config)];
    this.#parts = parts;
    this.#loaders = loaders;
  }

  /** Bytes of weights in GPU memory. */
  get weightBytes(): number {
    return this.weightPlans.reduce((sum, { plan }) => sum + plan.bytes, 0);
  }

  /** What the weights of each part take. */
  get weightPlans(): readonly { readonly part: string; readonly plan: WeightPlan }[] {
    return ['unet', 'vae', 'text_encoder'].map((part, i) => ({ part, plan: this.#loaders[i]!.plan }));
  }

  destroy(): void {
    for (const loader of this.#loaders) loader.destroy();
  }

  /**
   * Paints a picture. With guidance above 1 there are two runs, of the negative prompt and of the prompt; else one, of the
   * prompt. A step is a work of its own, so others on the device go on between them.
   *
   * @throws NoticeError('image') for a size that is no multiple of the factor, ('usage'); the signal's reason
   */
  async paint({ image, mask }: Canvas, prompt: string, options: PaintOptions = {}): Promise<Painting> {
    const { steps = 50, guidance = 7.5, negativePrompt = '', signal, onStep } = options;
    checkSignal(signal);
    checkFinite(guidance, 'guidance');
    checkWhole(steps, 'steps', { from: 1 });
    const size = this.#sizeOf(image, mask);
    const plan = samplerSteps(this.scheduler, steps);
    const noise = options.noise ?? this.#noise(options.seed ?? 0, size);
    this.#checkNoise(noise, size);
    const ids = [...(guidance > 1 ? [negativePrompt] : []), prompt].map((text) =>
      this.tokenizer.encodePadded(text),
    );
    const runs = ids.map((own) => new ModelRun({ images: [], ids: own }));
    const signals = signalsOf(this.gpu.lost, signal);
    const held: Tensor[] = [];
    const keep = (w: Work, tensor: Tensor) => {
      w.keep(tensor);
      held.push(tensor);
      return tensor;
    };
    const phase = <T>(name: Phase, step: number, body: (walk: MapWalk) => Promise<T>): Promise<T> =>
      this.gpu.work(
        async (w) => {
          const own = name === 'encode' || name === 'decode' ? runs.slice(-1) : runs; // pictures have no prompt
          const probe = options.probe?.(w, own, name, step) ?? NO_PROBE;
          const result = await body({ w, runs: own, probe });
          await options.onPhase?.(w, name, step);
          return result;
        },
        { signal },
      );
    const { unet, vae, textEncoder } = this.#parts;
    try {
      const texts = await phase('text', 0, async ({ w, probe }) =>
        keep(w, await textEncoder.encode(w, runs, probe)),
      );
      const moments = await phase('encode', 0, async (walk) => {
        const picture = maps(walk.w, maskedPixels(image, mask), { ...size.pixels, images: 1 }, 3);
        const encoded = await vae.encode(walk, picture);
        const [values] = await walk.w.read(encoded.x);
        return values as Float32Array;
      });
      const posterior = posteriorOf(moments, vae.config.latentChannels);
      const masked = posteriorSample(posterior, noise.posterior, vae.config.scaling);
      const { latents, fixed } = await this.gpu.work(async (w) => {
        const channels = vae.config.latentChannels;
        const own = toRows(noise.latents, channels);
        const still = stillChannels(
          latentMask(mask, image.width, this.factor),
          toRows(masked, channels),
          channels,
        );
        return {
          latents: keep(w, w.upload(own, own.length / channels, channels, 'latents')),
          fixed: keep(
            w,
            w.upload(still, still.length / (channels + 1), channels + 1, 'mask and masked latents'),
          ),
        };
      });
      // What cross-attention makes of the texts is the same at every step.
      const read: Texts = { tensor: texts, keyValues: new Map() };
      for (const [step, { timestep, a, b }] of plan.entries()) {
        checkAborted(signals);
        await phase('step', step, async (walk) => {
          const { w } = walk;
          const input = assemble(w, latents, fixed, runs.length);
          const predicted = await unet.predict(
            walk,
            { ...size.latents, images: runs.length, x: input },
            timestep,
            read,
          );
          mix(w, latents, a, guidance > 1 ? guide(w, predicted.x, guidance) : predicted.x, b);
          if (step === 0)
            for (const own of read.keyValues.values()) for (const tensor of own.values()) keep(w, tensor);
          await w.finish();
        });
        onStep?.({ step, steps, timestep });
      }
      const { decoded, final } = await phase('decode', 0, async (walk) => {
        const [final] = await walk.w.read(latents);
        const scaled = Float32Array.from(final as Float32Array, (value) => value / vae.config.scaling);
        const input = maps(walk.w, scaled, { ...size.latents, images: 1 }, vae.config.latentChannels);
        const picture = await vae.decode(walk, input);
        const [decoded] = await walk.w.read(picture.x);
        return { decoded: decoded as Float32Array, final: final as Float32Array };
      });
      return {
        image: { width: image.width, height: image.height, data: toBytes(decoded) },
        decoded: toPlanes(decoded, 3),
        latents: toPlanes(final, vae.config.latentChannels),
        maskedLatents: masked,
        posterior,
        noise,
        ids,
        timesteps: plan.map(({ timestep }) => timestep),
      };
    } finally {
      this.gpu.release(...held);
    }
  }

  /**
   * What painting a picture costs, by its phases, a step once. Made by the code that carries it out.
   *
   * @param runs 2 with guidance, else 1
   */
  async estimate(size: PictureSize, runs: 1 | 2): Promise<Readonly<Record<Phase, WorkEstimate>>> {
    const count = (phase: Phase) => this.gpu.count((w) => this.#alone(w, phase, size, runs));
    return {
      text: await count('text'),
      encode: await count('encode'),
      step: await count('step'),
      decode: await count('decode'),
    };
  }

  /** Does one phase on inputs of no meaning, and waits for it: for benchmarks. */
  async rehearse(phase: Phase, size: PictureSize, runs: 1 | 2): Promise<void> {
    await this.gpu.work(async (w) => {
      await this.#alone(w, phase, size, runs);
      await w.finish();
    });
  }

  /** One phase by itself. */
  async #alone(w: Work, phase: Phase, { width, height }: PictureSize, count: 1 | 2): Promise<void> {
    const { unet, vae, textEncoder } = this.#parts;
    const ids = this.tokenizer.encodePadded('');
    const runs = Array.from(
      { length: phase === 'text' || phase === 'step' ? count : 1 },
      () => new ModelRun({ images: [], ids }),
    );
    const walk = { w, runs, probe: NO_PROBE };
    const latents = { width: width / this.factor, height: height / this.factor };
    if (!Number.isInteger(latents.width) || !Number.isInteger(latents.height))
      throw this.#wrongSize(width, height);
    const blank = (size: PictureSize, channels: number): FeatureMaps => ({
      ...size,
      images: runs.length,
      x: w.empty(runs.length * size.width * size.height, channels, 'maps'),
    });
    if (phase === 'text') await textEncoder.encode(w, runs, NO_PROBE);
    if (phase === 'encode') await vae.encode(walk, blank({ width, height }, 3));
    if (phase === 'decode') await vae.decode(walk, blank(latents, vae.config.latentChannels));
    if (phase !== 'step') return;
    textEncoder.place(runs);
    const { textWidth, inChannels } = unet.config;
    const tensor = w.empty(count * textEncoder.config.positions, textWidth, 'texts');
    await unet.predict(walk, blank(latents, inChannels), 0, { tensor, keyValues: new Map() });
  }

  #wrongSize(width: number, height: number): NoticeError {
    return new NoticeError(
      'image',
      `a picture of ${width} × ${height} pixels: this model paints multiples of ${this.factor}`,
    );
  }

  #sizeOf({ width, height, data }: RgbImage, mask: Uint8Array) {
    const { factor } = this;
    if (width % factor !== 0 || height % factor !== 0 || width === 0 || height === 0)
      throw this.#wrongSize(width, height);
    if (data.length !== 3 * width * height || mask.length !== width * height)
      throw new NoticeError(
        'image',
        `a picture of ${width} × ${height} pixels has ${data.length} bytes and a mask of ${mask.length} values, expected ` +
          `${3 * width * height} and ${width * height}`,
      );
    return { pixels: { width, height }, latents: { width: width / factor, height: height / factor } };
  }

  #noise(seed: number, { latents }: LatentSize): GivenNoise {
    const random = seeded(`${seed}/inpaint`);
    const draw = () =>
      Float32Array.from(
        { length: this.#parts.vae.config.latentChannels * latents.width * latents.height },
        () => random.normal(),
      );
    return { latents: draw(), posterior: draw() };
  }

  #checkNoise({ latents, posterior }: GivenNoise, size: LatentSize): void {
    const count = this.#parts.vae.config.latentChannels * size.latents.width * size.latents.height;
    for (const [values, name] of [
      [latents, 'noise.latents'],
      [posterior, 'noise.posterior'],
    ] as const) {
      checkFloats(values, name);
      if (values.length !== count)
        throw new NoticeError('shape', `${name} has ${values.length} values, expected ${count}`);
    }
  }
}

function maps(
  w: Work,
  rows: Float32Array,
  size: { readonly images: number; readonly width: number; readonly height: number },
  channels: number,
): FeatureMaps {
  return { ...size, x: w.upload(rows, rows.length / channels, channels, 'maps') };
}

/** What the UNet reads, the same for every run: latents, mask, masked latents. */
function assemble(w: Work, latents: Tensor, fixed: Tensor, runs: number): Tensor {
  const columns = latents.columns + fixed.columns;
  const input = w.empty(runs * latents.rows, columns, 'input of the UNet');
  const index = Uint32Array.from({ length: input.rows }, (_, row) => row % latents.rows);
  gatherRows(w, latents, index, columnsOf(input, 0, latents.columns));
  gatherRows(w, fixed, index, columnsOf(input, latents.columns, fixed.columns));
  return input;
}
