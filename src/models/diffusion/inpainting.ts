// Stable Diffusion's inpainting: prompt, picture and mask to another picture. Behaviour is that of diffusers'
// StableDiffusionInpaintPipeline with the DDIM scheduler, strength 1 and eta 0.

import { checkAborted, signalsOf } from '../../abort.ts';
import { checkFinite, checkFloats, checkSignal, checkWhole } from '../../check.ts';
import { NoticeError } from '../../errors.ts';
import { columnsOf, type Gpu, type Tensor, type Work } from '../../gpu/index.ts';
import { ClipTokenizer, type RgbImage } from '../../inputs/index.ts';
import { type FeatureMaps, gatherRows, guide, mix } from '../../kernels/index.ts';
import { seeded } from '../../random.ts';
import {
  Checkpoint,
  hasFile,
  type ModelSource,
  readJson,
  readText,
  WeightLoader,
  type WeightLoaderOptions,
} from '../../weights/index.ts';
import type { HookInfo } from '../hook-table.ts';
import { ModelRun } from '../model.ts';
import { NO_PROBE, type Probe, type TowerConfig } from '../tower/index.ts';
import { parseTextEncoder, parseUnet, parseVae } from './config.ts';
import { checkPipeline, partOf } from './folder.ts';
import type { MapWalk } from './maps.ts';
import { parseScheduler, type SchedulerConfig, samplerSteps } from './scheduler.ts';
import { TextEncoder, textHooks } from './text-encoder.ts';
import type { Texts } from './transformer.ts';
import { Unet, unetConfigs, unetHooks } from './unet.ts';
import { Vae, vaeHooks } from './vae.ts';

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
  readonly posterior: { readonly mean: Float32Array; readonly logVariance: Float32Array };
  /** Token ids, the unconditioned prompt's first where there is one. */
  readonly ids: readonly (readonly number[])[];
  readonly timesteps: readonly number[];
}

export interface InpaintingOptions extends Pick<WeightLoaderOptions, 'type' | 'signal' | 'planOnly'> {
  /** Which of several files of weights: `fp16`. Default those without a variant, or those of fp16 where there are none. */
  readonly variant?: string;
}

/**
 * Loads an inpainting pipeline in diffusers' layout: model_index.json, unet/, vae/, text_encoder/, tokenizer/, scheduler/.
 *
 * @throws NoticeError('config'), ModelFileError, WeightsError naming the file and what is wrong with it
 */
export async function loadInpainting(
  gpu: Gpu,
  source: ModelSource,
  { variant, ...options }: InpaintingOptions = {},
): Promise<InpaintingModel> {
  checkSignal(options.signal);
  await checkPipeline(source);
  const json = (file: string) => readJson(source, file);
  const text = async (file: string) => ((await hasFile(source, file)) ? readText(source, file) : undefined);
  const unetConfig = parseUnet(await json('unet/config.json'));
  const vaeConfig = parseVae(await json('vae/config.json'));
  const textConfig = parseTextEncoder(await json('text_encoder/config.json'));
  const scheduler = parseScheduler(await json('scheduler/scheduler_config.json'));
  const { inChannels, outChannels, textWidth } = unetConfig;
  const latents = vaeConfig.latentChannels;
  if (inChannels !== 2 * latents + 1 || outChannels !== latents)
    throw new NoticeError(
      'config',
      `${source.name}/unet/config.json: ${inChannels} channels in and ${outChannels} out; one for inpainting has ${2 * latents + 1} ` +
        `(latents, mask, masked picture) and ${latents}`,
    );
  if (textWidth !== textConfig.tower.width)
    throw new NoticeError(
      'config',
      `${source.name}/unet/config.json: "cross_attention_dim" is ${textWidth}, the text encoder's "hidden_size" ${textConfig.tower.width}`,
    );
  const tokenizer = new ClipTokenizer(
    {
      tokenizer: await text('tokenizer/tokenizer.json'),
      vocabulary: await text('tokenizer/vocab.json'),
      merges: await text('tokenizer/merges.txt'),
      config: await text('tokenizer/tokenizer_config.json'),
      special: await text('tokenizer/special_tokens_map.json'),
    },
    textConfig.positions,
  );
  const loaders: WeightLoader[] = [];
  const load = async <T>(
    part: string,
    stem: string,
    make: (loader: WeightLoader, checkpoint: Checkpoint) => Promise<T>,
  ): Promise<T> => {
    const checkpoint = await Checkpoint.open(partOf(source, part, stem, variant));
    try {
      const loader = new WeightLoader(gpu, checkpoint, options);
      loaders.push(loader);
      return await make(loader, checkpoint);
    } finally {
      await checkpoint.close();
    }
  };
  try {
    const unet = await load('unet', 'diffusion_pytorch_model', (loader, checkpoint) =>
      Unet.load(loader, checkpoint, unetConfig),
    );
    const vae = await load('vae', 'diffusion_pytorch_model', (loader, checkpoint) =>
      Vae.load(loader, checkpoint, vaeConfig),
    );
    const textEncoder = await load('text_encoder', 'model', (loader, checkpoint) =>
      TextEncoder.load(loader, checkpoint, textConfig),
    );
    return new InpaintingModel(gpu, { unet, vae, textEncoder, tokenizer, scheduler }, loaders);
  } catch (error) {
    for (const loader of loaders) loader.destroy();
    throw error;
  }
}

interface LatentSize {
  readonly latents: { readonly width: number; readonly height: number };
}

interface Parts {
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
  readonly #parts: Parts;
  readonly #loaders: readonly WeightLoader[];

  constructor(gpu: Gpu, parts: Parts, loaders: readonly WeightLoader[]) {
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
    return this.#loaders.reduce((sum, { bytes }) => sum + bytes, 0);
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
        ids,
        timesteps: plan.map(({ timestep }) => timestep),
      };
    } finally {
      this.gpu.release(...held);
    }
  }

  #sizeOf({ width, height, data }: RgbImage, mask: Uint8Array) {
    const { factor } = this;
    if (width % factor !== 0 || height % factor !== 0 || width === 0 || height === 0)
      throw new NoticeError(
        'image',
        `a picture of ${width} × ${height} pixels: this model paints multiples of ${factor}`,
      );
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

/** Pixel values 2 · (v / 255) − 1, 0 where the picture is painted over; row by row, channels last. */
function maskedPixels({ data }: RgbImage, mask: Uint8Array): Float32Array<ArrayBuffer> {
  return Float32Array.from(data, (value, i) =>
    mask[Math.floor(i / 3)] === 1 ? 0 : Math.fround(2 * Math.fround(value / 255)) - 1,
  );
}

/** Of every cell of latents the pixel at its top left. */
function latentMask(mask: Uint8Array, width: number, factor: number): Uint8Array {
  const across = width / factor;
  const count = mask.length / factor ** 2;
  return Uint8Array.from({ length: count }, (_, i) => {
    const [y, x] = [Math.floor(i / across), i % across];
    return mask[(y * width + x) * factor] as number;
  });
}

/** Mean and logarithm of the variance, clamped as diffusers' DiagonalGaussianDistribution does. */
function posteriorOf(moments: Float32Array, channels: number) {
  const planes = toPlanes(moments, 2 * channels);
  const half = planes.length / 2;
  return {
    mean: planes.slice(0, half),
    logVariance: planes.slice(half).map((value) => Math.min(20, Math.max(-30, value))),
  };
}

function posteriorSample(
  { mean, logVariance }: Painting['posterior'],
  noise: Float32Array,
  scaling: number,
): Float32Array {
  return mean.map(
    (value, i) => scaling * (value + Math.exp(0.5 * (logVariance[i] as number)) * (noise[i] as number)),
  );
}

/** [channels, pixels] to [pixels, channels]. */
function toRows(planes: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  const pixels = planes.length / channels;
  const rows = new Float32Array(planes.length);
  planes.forEach((value, i) => {
    rows[(i % pixels) * channels + Math.floor(i / pixels)] = value;
  });
  return rows;
}

/** [pixels, channels] to [channels, pixels]. */
function toPlanes(rows: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  return toRows(rows, rows.length / channels);
}

/** Rows of the mask and the masked picture's latents. */
function stillChannels(mask: Uint8Array, masked: Float32Array, channels: number): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(mask.length * (channels + 1));
  mask.forEach((value, pixel) => {
    rows[pixel * (channels + 1)] = value;
    rows.set(masked.subarray(pixel * channels, (pixel + 1) * channels), pixel * (channels + 1) + 1);
  });
  return rows;
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

/** round(clamp(x / 2 + ½) · 255), half to even, as diffusers' VaeImageProcessor and numpy. */
function toBytes(decoded: Float32Array): Uint8Array {
  return Uint8Array.from(decoded, (value) => {
    const scaled = Math.fround(255 * Math.min(1, Math.max(0, Math.fround(Math.fround(value / 2) + 0.5))));
    const rounded = Math.round(scaled);
    return scaled % 1 === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
  });
}
