// Options that commands share, and what they open.

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { NoticeError } from '../errors.ts';
import type { Gpu } from '../gpu/index.ts';
import { IMAGE_BACKENDS, type ImageBackend, type RgbImage } from '../inputs/index.ts';
import {
  loadModel,
  Processor,
  type Sample,
  type VisionLanguageModel,
  WEIGHT_DTYPES,
  type WeightDtype,
} from '../models/index.ts';
import { paperConventions } from '../notice/conventions.ts';
import { openGpu } from '../platform/node/adapter.ts';
import { folderDigest, observed } from '../platform/node/digests.ts';
import { nodeFolder } from '../platform/node/files.ts';
import { readImage } from '../platform/node/images.ts';
import type { ModelSource } from '../weights/index.ts';
import { EMBEDDED_MODEL, EMBEDDED_NAME, nearEmbedded, withEmbedded } from './embedded.ts';

/** `--template` for the prompt of the paper's text, which each kind of model has its own of. */
export const PAPER_TEMPLATE = 'paper';

export interface ModelOptions {
  readonly model: string;
  readonly dtype?: WeightDtype;
  readonly adapter?: 'auto' | 'hardware' | 'software';
  readonly memory?: number;
  readonly subgroupMatrices?: boolean;
  readonly template?: string;
  readonly imageBackend?: ImageBackend;
}

/** Options of every command that runs a model; with `embedded` that is the embedded one unless another is named. */
export function addModelOptions(command: Command, { embedded = false } = {}): Command {
  const model = new Option(
    '--model <model>',
    `model folder in Hugging Face layout, id of a pulled model, or ${EMBEDDED_NAME}`,
  ).argParser(withEmbedded);
  if (embedded) model.default(EMBEDDED_MODEL, EMBEDDED_NAME);
  else model.makeOptionMandatory();
  return command
    .addOption(model)
    .addOption(
      new Option('--dtype <type>', 'storage of the weights; default as in the file').choices([
        ...WEIGHT_DTYPES,
      ]),
    )
    .addOption(
      new Option('--adapter <kind>', 'which WebGPU adapter').choices(['auto', 'hardware', 'software']),
    )
    .option('--memory <MiB>', 'GPU memory for activations, in MiB (default 2048)', positiveInteger)
    .option('--subgroup-matrices', "multiply on the GPU's matrix units where it has them (experimental)");
}

/** How pictures are resized, for every command that reads them. */
export function imageBackendOption(): Option {
  return new Option(
    '--image-backend <name>',
    "whose resizing of pictures: torchvision's, Pillow's, or that of Pillow before 13 (default as the model's folder and family have it)",
  ).choices([...IMAGE_BACKENDS]);
}

export interface OpenModel {
  /** The folder's absolute path, or owner/name@commit of a pulled model. */
  readonly name: string;
  readonly gpu: Gpu;
  readonly model: VisionLanguageModel;
  /** Reads tokenizer and preprocessor, which a command may not need. */
  processor(): Promise<Processor>;
  /** Digest of the files that the model, and the processor if it was asked for, were read from. */
  digest(): Promise<string>;
}

/** Files of a model, and what it is called in messages and results. */
export interface OpenSource {
  /** The folder's absolute path, or owner/name@commit. */
  readonly name: string;
  readonly source: ModelSource;
}

async function localSource(model: string): Promise<OpenSource> {
  const { resolveModel } = await import('../platform/node/hub/index.ts');
  const { folder, id, commit } = await resolveModel(model).catch(async (error: unknown) => {
    const hint = await nearEmbedded(model);
    throw error instanceof NoticeError && hint ? new NoticeError(error.code, error.message + hint) : error;
  });
  return { name: id ? `${id}@${commit}` : resolve(folder), source: nodeFolder(folder) };
}

/** A model here, or what the hub has of it: for what reads some bytes of its files. Throws as `resolveModel` and `hubFolder` do. */
export async function anySource(model: string): Promise<OpenSource> {
  const { mayBeRemote, remoteModel } = await import('../platform/node/hub/index.ts');
  try {
    return await localSource(model);
  } catch (error) {
    if (!mayBeRemote(model)) throw error;
  }
  const source = await remoteModel(model);
  return { name: `${source.id}@${source.commit}`, source };
}

/**
 * Opens the device for a model's folder, runs `work`, and closes the device.
 *
 * @throws NoticeError('config') if the model is neither a folder nor in the hub's cache; the message says what to pull
 */
export async function withSource<T>(
  options: ModelOptions,
  work: (found: OpenSource & { readonly gpu: Gpu }) => Promise<T>,
  open = localSource,
): Promise<T> {
  const { name, source } = await open(options.model);
  const gpu = await openGpu({
    ...(options.adapter ? { adapter: options.adapter } : {}),
    ...(options.memory ? { memoryBudget: options.memory * 1024 ** 2 } : {}),
    ...(options.subgroupMatrices ? { subgroupMatrices: true } : {}),
  });
  const { description, subgroupMatrix } = gpu.capabilities;
  if (options.subgroupMatrices && !subgroupMatrix)
    console.error(`--subgroup-matrices: ${description} offers none that fit; the usual kernels are used.`);
  try {
    return await work({ name, gpu, source });
  } finally {
    gpu.destroy();
  }
}

/**
 * Opens the device and the model, runs `work`, and closes both. Throws as {@link withSource} does.
 */
export async function withModel<T>(options: ModelOptions, work: (open: OpenModel) => Promise<T>): Promise<T> {
  return withSource(options, async ({ name, gpu, source }) => {
    const files = observed(source);
    const model = await loadModel(gpu, files.source, options.dtype ? { dtype: options.dtype } : {});
    const processor = async () => {
      const template =
        options.template === PAPER_TEMPLATE ? paperConventions(model).template : options.template;
      return Processor.load(model, files.source, template, options.imageBackend);
    };
    return work({ name, gpu, model, processor, digest: () => folderDigest(source.name, files.opened) });
  });
}

/** For an option that may be repeated. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** A prompt with its pictures, the n-th for the n-th image token. */
export async function readSample(
  processor: Processor,
  pictures: readonly string[],
  prompt: string,
): Promise<Sample> {
  const images: RgbImage[] = [];
  for (const picture of pictures) images.push(await readImage(picture));
  return processor.sample(images, prompt, pictures);
}

/** A comma-separated list. */
export function list(text: string): string[] {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean);
  if (items.length === 0) throw new InvalidArgumentError('expected a comma-separated list.');
  return items;
}

/** A position, in a tile if there is one. */
export interface Place {
  readonly tile?: number;
  readonly position: number;
}

/** `all`, or a comma-separated list of positions, `2:8` for the position 8 of tile 2. */
export function positions(text: string): Place[] | 'all' {
  if (text === 'all') return 'all';
  return list(text).map((item) => {
    const found = /^(?:(\d+):)?(\d+)$/.exec(item);
    const [tile, position] = [found?.[1], found?.[2]].map((digits) => digits && Number(digits));
    if (!Number.isSafeInteger(position) || (tile !== undefined && !Number.isSafeInteger(tile)))
      throw new InvalidArgumentError(
        `"${item}" is not a position; expected "all" or numbers from 0, with a tile 2:8.`,
      );
    return { position: position as number, ...(tile !== undefined && { tile: tile as number }) };
  });
}

export function integer(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value)) throw new InvalidArgumentError('expected an integer.');
  // Beyond, a number is not what was written: 9007199254740993 would be the seed 9007199254740992.
  if (!Number.isSafeInteger(value))
    throw new InvalidArgumentError('expected an integer of at most 2^53 − 1.');
  return value;
}

export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value <= 0)
    throw new InvalidArgumentError('expected a positive integer.');
  return value;
}
