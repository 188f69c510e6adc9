// A pipeline in diffusers' layout: a folder of models, each in a folder of its own, with files named in several ways.

import { NoticeError } from '../../errors.ts';
import { type ModelSource, readJson } from '../../weights/index.ts';

/** What a part's weights may be called, the preferred name first. */
function fileNames(stem: string, variant: string | undefined): Readonly<Record<string, readonly string[]>> {
  const variants = variant === undefined ? ['', '.fp16'] : [`.${variant}`];
  return {
    'model.safetensors': variants.map((one) => `${stem}${one}.safetensors`),
    'model.safetensors.index.json': variants.flatMap((one) => [
      `${stem}.safetensors.index${one}.json`,
      `${stem}${one}.safetensors.index.json`,
    ]),
  };
}

/**
 * A part of a pipeline as a model folder.
 *
 * @param stem how its weights' names begin: `model` (transformers) or `diffusion_pytorch_model` (diffusers)
 * @param variant `fp16`; default the files without one, or those of fp16 where there are none
 */
export function partOf(source: ModelSource, part: string, stem: string, variant?: string): ModelSource {
  const names = fileNames(stem, variant);
  return {
    name: `${source.name}/${part}`,
    async open(file) {
      for (const name of names[file] ?? [file]) {
        const bytes = await source.open(`${part}/${name}`);
        if (bytes) return bytes;
      }
      return undefined;
    },
    absence: async (file) => {
      const found = names[file];
      return found ? `looked for ${found.join(', ')}` : source.absence?.(`${part}/${file}`);
    },
  };
}

const PIPELINE = 'StableDiffusionInpaintPipeline';
/** Pipelines that people may take for one that paints into a picture, and why they do not. */
const OTHERS: Readonly<Record<string, string>> = {
  StableDiffusionPipeline: 'it paints whole pictures; its UNet has 4 input channels, one for inpainting 9',
  StableDiffusionXLPipeline: 'Stable Diffusion XL has two text encoders and another UNet',
  StableDiffusionXLInpaintPipeline: 'Stable Diffusion XL has two text encoders and another UNet',
};

/**
 * Refuses a folder of another kind.
 *
 * @throws NoticeError('config'), ModelFileError
 */
export async function checkPipeline(source: ModelSource): Promise<void> {
  const index = (await readJson(source, 'model_index.json')) as { _class_name?: unknown } | null;
  const found = index?._class_name;
  if (found === PIPELINE) return;
  const why = typeof found === 'string' ? OTHERS[found] : undefined;
  throw new NoticeError(
    'config',
    `${source.name}/model_index.json: the pipeline is ${JSON.stringify(found)}, expected "${PIPELINE}"${why ? `: ${why}` : ''}`,
  );
}
