// The tensors of a painted picture for a file, under the names of diffusers' modules and arguments, channels first.

import picomatch from 'picomatch';
import type { RgbImage } from '../inputs/index.ts';
import { type InpaintingModel, latentMask, toPlanes } from '../models/index.ts';
import type { CachedActivation, Inpainted } from '../patching/index.ts';
import type { TensorOutput } from './tensors.ts';

/** What is seen of a hook point under another name than its module's. */
interface TracedHook {
  readonly hook: string;
  readonly name: string;
  /** Rows of features, a map, or heads of queries and keys. */
  readonly as: 'rows' | 'map' | 'pattern';
}

const INPUT = 'unet_in.hook_input';
const PREDICTION = 'unet_out.hook_out';

/** The hook points that are modules of diffusers, by `unet/` or `vae/` and the module's path; hidden states of the text. */
function tracedHooks({ hooks }: InpaintingModel): TracedHook[] {
  const modules = new Map(hooks.map(({ name, module }) => [name, module]));
  return hooks.flatMap(({ name, module }): TracedHook[] => {
    if (name.startsWith('text_encoder')) {
      const layer = /^text_encoder\.(?:hook_embed|blocks\.(\d+)\.hook_resid_post)$/.exec(name);
      return layer
        ? [
            {
              hook: name,
              name: `text_hidden.${layer[1] === undefined ? 0 : Number(layer[1]) + 1}`,
              as: 'rows',
            },
          ]
        : [];
    }
    const part = name.startsWith('unet') ? 'unet' : 'vae';
    const inBlock = /^(.*\.blocks\.\d+)\./.exec(name);
    if (/hook_pattern$/.test(name)) {
      const output = modules.get(name.replace('hook_pattern', 'hook_z')) ?? '';
      const attention = /^input of (.*)\.to_out\.0$/.exec(output)?.[1];
      return [{ hook: name, name: `${part}/${attention}.probabilities`, as: 'pattern' }];
    }
    if (inBlock && module.startsWith('input of ') && !module.endsWith('.ff.net.2')) return [];
    if (/scores$/.test(name) || (!inBlock && module.startsWith('input of '))) return [];
    const own = module.replace(/^input of (.*\.ff\.net\.)2$/, '$10').replace(/(attn[12])\.to_out\.0$/, '$1');
    const rows = inBlock !== null || /proj_(in|out)$/.test(module);
    return [{ hook: name, name: `${part}/${own}`, as: rows ? 'rows' : 'map' }];
  });
}

/** What of a run is written, by names or globs. */
export class InpaintTrace {
  readonly #model: InpaintingModel;
  readonly #wanted: (name: string) => boolean;
  readonly #hooks: readonly TracedHook[];

  /** @param globs of the names written; a lone `*` is all of them */
  constructor(model: InpaintingModel, globs: readonly string[] = ['*']) {
    this.#model = model;
    this.#wanted = picomatch(globs.map((glob) => (glob === '*' ? '**' : glob)));
    this.#hooks = tracedHooks(model).filter(({ name }) =>
      name.startsWith('text_hidden')
        ? ['cond', 'uncond'].some((run) => this.#wanted(`${run}/${name}`))
        : this.#wanted(name),
    );
  }

  /** The hook points that have to be cached. */
  get names(): string[] {
    return [...new Set([...this.#hooks.map(({ hook }) => hook), 'text_encoder.hook_out', INPUT, PREDICTION])];
  }

  /** Modules are those of the first step; what a step reads and predicts is kept of all. */
  readonly cachedSteps = (name: string, step: number): boolean =>
    step === 0 || name === INPUT || name === PREDICTION;

  /** The tensors, each read when it is written. */
  outputs(
    painted: Inpainted,
    {
      image,
      mask,
      guidance,
    }: {
      readonly image: RgbImage;
      readonly mask: Uint8Array;
      readonly guidance: number;
    },
  ): TensorOutput[] {
    const { width, height } = image;
    const { noise } = painted;
    const { factor } = this.#model;
    const latent = [height / factor, width / factor] as const;
    const cells = latent[0] * latent[1];
    const channels = noise.latents.length / cells;
    const map = (name: string, data: Float32Array, [tall, wide] = latent): TensorOutput => ({
      name,
      shape: [data.length / (tall * wide), tall, wide],
      data: () => data,
    });
    const bytes = (name: string, shape: number[], data: Uint8Array): TensorOutput => ({
      name,
      dtype: 'U8',
      shape,
      data: () => data,
    });
    const prompts = painted.ids.length === 2 ? ['uncond', 'cond'] : ['cond'];
    const whole: TensorOutput[] = [
      ...prompts.flatMap((run, i): TensorOutput[] => [
        {
          name: `${run}/input_ids`,
          dtype: 'I32',
          shape: [painted.ids[i]!.length],
          data: () => Int32Array.from(painted.ids[i]!),
        },
        this.#rows(`${run}/text_embeddings`, painted, 'text', 'text_encoder.hook_out', i),
        ...this.#hooks
          .filter(({ name }) => name.startsWith('text_hidden'))
          .map(({ hook, name }) => this.#rows(`${run}/${name}`, painted, 'text', hook, i)),
      ]),
      bytes('resized_uint8', [height, width, 3], image.data),
      bytes('mask', [height, width], mask),
      bytes('mask_latents', [...latent], latentMask(mask, width, factor)),
      map('vae_mean', painted.posterior.mean),
      map('vae_logvar', painted.posterior.logVariance),
      map('posterior_noise', noise.posterior),
      map('noise', noise.latents),
      map('masked_image_latents', painted.maskedLatents),
      {
        name: 'timesteps',
        dtype: 'I32',
        shape: [painted.timesteps.length],
        data: () => Int32Array.from(painted.timesteps),
      },
      map('decoded', painted.decoded, [height, width]),
      bytes('image_uint8', [height, width, 3], painted.image.data),
    ];
    const steps = painted.timesteps.flatMap((_, step): TensorOutput[] => {
      const at = `steps/${step}`;
      const read = async (hook: string, run: number, of = step) => {
        const cache = painted.caches.get(of)!;
        const rows = slice(await cache.read(hook), run, prompts.length);
        return toPlanes(rows, rows.length / cells);
      };
      const shape = [channels, ...latent];
      const last = prompts.length - 1;
      const predicted = (name: string, run: number): TensorOutput => ({
        name: `${at}/${name}`,
        shape,
        data: () => read(PREDICTION, run),
      });
      return [
        { name: `${at}/unet_input`, shape: [2 * channels + 1, ...latent], data: () => read(INPUT, last) },
        ...(last === 1 ? [predicted('noise_uncond', 0)] : []),
        predicted('noise_cond', last),
        {
          name: `${at}/noise`,
          shape,
          data: async () => {
            const led = await read(PREDICTION, last);
            if (last === 0) return led;
            const free = await read(PREDICTION, 0);
            return free.map((value, i) => value + guidance * ((led[i] as number) - value));
          },
        },
        {
          name: `${at}/latents`,
          shape,
          data: async () =>
            step + 1 < painted.timesteps.length
              ? (await read(INPUT, last, step + 1)).slice(0, channels * cells)
              : painted.latents,
        },
      ];
    });
    return [...whole, ...steps]
      .filter(({ name }) => this.#wanted(name))
      .concat(this.#modules(painted, latent));
  }

  /** The modules of UNet and autoencoder, of the prompt's run. */
  #modules(painted: Inpainted, latent: readonly [number, number]): TensorOutput[] {
    return this.#hooks.flatMap(({ hook, name, as }): TensorOutput[] => {
      if (name.startsWith('text_hidden')) return [];
      const phase = name.startsWith('unet/') ? 0 : hook.startsWith('vae_encoder') ? 'encode' : 'decode';
      const activation = painted.caches.get(phase)!.get(hook);
      const runs = activation.lengths.length;
      const rows = activation.lengths.at(-1) as number;
      if (as === 'rows') return [this.#rows(name, painted, phase, hook, runs - 1)];
      const read = async () => slice(await activation.read(), runs - 1, runs);
      if (as === 'pattern')
        return [{ name, shape: [activation.heads, rows, activation.keys?.at(-1) as number], data: read }];
      const [tall, wide] = mapSize(rows, latent, this.#model.factor);
      return [
        {
          name,
          shape: [activation.size, tall, wide],
          data: async () => toPlanes(await read(), activation.size),
        },
      ];
    });
  }

  #rows(
    name: string,
    painted: Inpainted,
    phase: Parameters<Inpainted['caches']['get']>[0],
    hook: string,
    run: number,
  ): TensorOutput {
    const activation = painted.caches.get(phase)!.get(hook);
    const { lengths, heads, size } = activation as CachedActivation;
    return {
      name,
      shape: [lengths[run] as number, heads * size],
      data: async () => slice(await activation.read(), run, lengths.length),
    };
  }
}

/** One run's part of values that are laid out run by run. */
function slice(values: Float32Array, run: number, runs: number): Float32Array {
  const length = values.length / runs;
  return values.slice(run * length, (run + 1) * length);
}

/** Height and width of a map: the latents', halved as often as the UNet does, or doubled up to the picture's. */
function mapSize(
  pixels: number,
  [height, width]: readonly [number, number],
  factor: number,
): [number, number] {
  for (let [tall, wide] = [height, width], times = 1; times <= factor; times *= 2, tall *= 2, wide *= 2)
    if (tall * wide === pixels) return [tall, wide];
  for (
    let [tall, wide] = [height, width];
    tall * wide > 1;
    tall = Math.ceil(tall / 2), wide = Math.ceil(wide / 2)
  )
    if (tall * wide === pixels) return [tall, wide];
  return [1, pixels];
}
