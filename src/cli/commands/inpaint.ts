// `notice inpaint`: paints into a picture, so that a counterpart of it differs in one region only.

import { type Command, InvalidArgumentError } from 'commander';
import { NoticeError } from '../../errors.ts';
import { type MaskImage, maskOf, pasteOver, type RgbImage, resize } from '../../inputs/index.ts';
import { measureMatmulRate } from '../../kernels/index.ts';
import { type GivenNoise, type InpaintingModel, loadInpainting } from '../../models/index.ts';
import { inpaint } from '../../patching/index.ts';
import { decodeMask, readImage, readImageFile } from '../../platform/node/images.ts';
import { writeWhole } from '../../platform/node/whole-file.ts';
import { asFloat32 } from '../../weights/index.ts';
import { InpaintTrace } from '../inpaint-trace.ts';
import { addModelOptions, list, type ModelOptions, positiveInteger, withSource } from '../options.ts';
import { duration } from '../plan.ts';
import { progressBar } from '../progress.ts';
import { checkOutput, readInputs, writeTensors } from '../tensors.ts';

/** A run that takes longer is only begun with --yes, in seconds. */
const LONG_RUN = 600;

interface InpaintCommandOptions extends ModelOptions {
  readonly image: string;
  readonly mask: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly steps: number;
  readonly guidance: number;
  readonly height?: number;
  readonly width?: number;
  readonly seed: number;
  readonly paste: boolean;
  readonly noise?: string;
  readonly variant?: string;
  readonly trace?: string;
  readonly names?: string[];
  readonly yes?: boolean;
  readonly out: string;
}

export function inpaintCommand(program: Command): void {
  const command = program
    .command('inpaint')
    .description('Paints what a prompt says into a region of a picture, with Stable Diffusion 2 inpainting.');
  addModelOptions(command)
    .requiredOption('--image <file>', 'the picture')
    .requiredOption('--mask <file>', 'a picture that is white where it is to be painted over')
    .requiredOption('--prompt <text>', 'what is to be seen: "a picture of girl sit grass"')
    .option('--negative-prompt <text>', 'what is not to be seen', '')
    .option('--steps <n>', 'steps of the sampler; the paper took 120', positiveInteger, 50)
    .option('--guidance <scale>', 'how far to follow the prompt; the paper took 8', number, 7.5)
    .option('--height <pixels>', "of what is painted (default the model's)", positiveInteger)
    .option('--width <pixels>', "of what is painted (default the model's)", positiveInteger)
    .option('--seed <n>', 'of the noise', number, 0)
    .option('--no-paste', "write the model's picture, without the original's pixels around the mask")
    .option('--noise <file>', 'safetensors with noise and posterior_noise, in place of --seed')
    .option('--variant <name>', 'which of several files of weights: fp16')
    .option('--trace <file>', "safetensors to write: activations under the names of diffusers' modules")
    .option(
      '--names <globs>',
      'which of them, comma-separated globs: unet/*,steps/**,vae_mean (default all)',
      list,
    )
    .option('--yes', 'begin a run of more than ten minutes without asking')
    .requiredOption('--out <file>', 'picture to write, .png, as large as --image')
    .addHelpText(
      'after',
      '\nExample:\n  notice inpaint --model sd2-community/stable-diffusion-2-inpainting --image clean.png --mask mask.png \\\n' +
        '    --prompt "a picture of girl sit grass" --steps 120 --guidance 8 --out generated.png',
    )
    .action((options: InpaintCommandOptions) => paint(options));
}

async function paint(options: InpaintCommandOptions): Promise<void> {
  const {
    image: path,
    mask: maskPath,
    prompt,
    negativePrompt,
    steps,
    guidance,
    seed,
    out,
    trace,
    names,
  } = options;
  if (!/\.png$/i.test(out)) throw new NoticeError('usage', `--out ${out}: expected a name that ends in .png`);
  if (names && trace === undefined) throw new NoticeError('usage', '--names goes with --trace');
  for (const file of [out, ...(trace === undefined ? [] : [trace])]) await checkOutput(file);
  const picture = await readImage(path);
  const mask = await decodeMask(await readImageFile(maskPath), maskPath);
  const noise = options.noise === undefined ? undefined : await readNoise(options.noise);
  await withSource(options, async ({ gpu, source }) => {
    const { dtype, variant } = options;
    const model = await loadInpainting(gpu, source, {
      ...(dtype && { type: dtype }),
      ...(variant && { variant }),
    });
    const { imageSize } = model;
    const { width = imageSize, height = imageSize } = options;
    await checkTime(model, { width, height }, options);
    const image = resize(picture, width, height, 'lanczos', 'pil');
    const region = maskOf(mask, width, height);
    sayOfMask(model, region, maskPath);
    const excess = model.tokenizer.excess(prompt);
    if (excess > 0) console.error(`--prompt: the last ${excess} tokens are beyond what the model reads`);
    const traced = trace === undefined ? undefined : new InpaintTrace(model, names);
    const bar = progressBar('steps');
    const painted = await inpaint(model, image, region, prompt, {
      ...{ steps, guidance, negativePrompt, seed },
      ...(noise && { noise }),
      ...(traced && { names: traced.names, cachedSteps: traced.cachedSteps }),
      onStep: ({ step }) => bar.update(step + 1, steps),
    }).finally(() => bar.stop());
    try {
      if (traced && trace !== undefined)
        await writeTensors(trace, traced.outputs(painted, { image, mask: region, guidance }));
    } finally {
      painted.release();
    }
    const result = options.paste
      ? pasted(picture, painted.image, mask)
      : resize(painted.image, picture.width, picture.height, 'lanczos', 'pil');
    await writeWhole(out, [await pngOf(result)]);
    console.log(
      `${steps} steps at ${width} × ${height}, ${describeNoise(options)} → ${out}${trace === undefined ? '' : `, ${trace}`}`,
    );
    model.destroy();
  });
}

function describeNoise({ noise, seed }: InpaintCommandOptions): string {
  return noise === undefined ? `seed ${seed}` : `noise of ${noise}`;
}

/** @throws NoticeError('usage') for a run of more than ten minutes without --yes */
async function checkTime(
  model: InpaintingModel,
  size: { readonly width: number; readonly height: number },
  { steps, guidance, yes }: InpaintCommandOptions,
): Promise<void> {
  const { text, encode, step, decode } = await model.estimate(size, guidance > 1 ? 2 : 1);
  const flops = text.flops + encode.flops + steps * step.flops + decode.flops;
  const seconds = flops / (await measureMatmulRate(model.gpu));
  if (seconds <= LONG_RUN) return;
  const about = `${steps} steps at ${size.width} × ${size.height} take about ${duration(seconds)} on ${model.gpu.capabilities.description}`;
  if (yes) console.error(about);
  else
    throw new NoticeError(
      'usage',
      `${about}. Fewer --steps or a smaller --width and --height take less; --yes begins it.`,
    );
}

function sayOfMask(model: InpaintingModel, region: Uint8Array, path: string): void {
  const share = region.reduce((sum, value) => sum + value, 0) / region.length;
  if (share === 0) console.error(`${path}: nothing is white; the picture is decoded as it is`);
  if (share > 0.7)
    console.error(`${path}: ${Math.round(100 * share)} % of the picture is to be painted over`);
  const cells = (share * region.length) / model.factor ** 2;
  if (share > 0 && cells < 8)
    console.error(`${path}: the region is smaller than 8 cells of ${model.factor} × ${model.factor} pixels`);
}

function pasted(picture: RgbImage, painted: RgbImage, mask: MaskImage): RgbImage {
  return pasteOver(picture, painted, maskOf(mask, picture.width, picture.height));
}

async function readNoise(path: string): Promise<GivenNoise> {
  const tensors = await readInputs(path);
  const values = (name: string) => {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new NoticeError(
        'shape',
        `${path}: no tensor "${name}"; expected noise and posterior_noise [channels, height, width]`,
      );
    return asFloat32(tensor, name);
  };
  return { latents: values('noise'), posterior: values('posterior_noise') };
}

async function pngOf({ width, height, data }: RgbImage): Promise<Uint8Array> {
  const { default: sharp } = await import('sharp');
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('expected a number.');
  return value;
}
