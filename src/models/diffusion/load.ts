// From a folder in diffusers' layout to an inpainting model.

import { checkSignal } from '../../check.ts';
import { NoticeError } from '../../errors.ts';
import type { Gpu } from '../../gpu/index.ts';
import { ClipTokenizer } from '../../inputs/index.ts';
import {
  Checkpoint,
  hasFile,
  type ModelSource,
  readJson,
  readText,
  WeightLoader,
  type WeightLoaderOptions,
} from '../../weights/index.ts';
import { parseTextEncoder, parseUnet, parseVae } from './config.ts';
import { checkPipeline, partOf } from './folder.ts';
import { InpaintingModel } from './inpainting.ts';
import { parseScheduler } from './scheduler.ts';
import { TextEncoder } from './text-encoder.ts';
import { Unet } from './unet.ts';
import { Vae } from './vae.ts';

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
