// Samples from tensor files, tensors to files.

import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { NoticeError } from '../errors.ts';
import type { InputTensors, Sample, VisionLanguageModel } from '../models/index.ts';
import { fileSource } from '../platform/node/files.ts';
import { writeWhole } from '../platform/node/whole-file.ts';
import {
  asFloat32,
  type HostTensor,
  readTensors,
  safetensorsChunks,
  type TensorEntry,
} from '../weights/index.ts';

/** Tensors of a file that are named where one is missing. */
const SHOWN = 8;

/** Samples of a file with the padding that they were in. */
export interface PaddedSamples {
  readonly samples: Sample[];
  /** Positions with padding. */
  readonly length: number;
}

export async function readInputs(path: string): Promise<Map<string, HostTensor>> {
  const source = await fileSource(path);
  try {
    return await readTensors(source);
  } finally {
    await source.close();
  }
}

/**
 * `input_ids` [batch, position], optional `attention_mask`, and what the model reads beside them, under a prefix.
 *
 * @throws NoticeError('shape') naming the tensor, what was expected and what was found
 */
export function samplesFrom(
  tensors: ReadonlyMap<string, HostTensor>,
  path: string,
  prefix: string,
  model: Pick<VisionLanguageModel, 'expand' | 'tensors'>,
): PaddedSamples {
  const file = inputTensors(tensors, path, prefix);
  for (const videos of ['pixel_values_videos', 'video_grid_thw'])
    if (file.has(videos)) file.fail(`${videos}: videos are not supported, only pictures`);
  const { shape, data: integers } = file.integers('input_ids', 2);
  const [batch, length] = shape as [number, number];
  const mask = file.has('attention_mask') ? file.integers('attention_mask', 2) : undefined;
  if (mask && mask.shape.join() !== shape.join())
    file.fail(`attention_mask is [${mask.shape.join(', ')}], input_ids [${shape.join(', ')}]`);
  let longest = length;
  const prompts = Array.from({ length: batch }, (_, row) => {
    const own = integers.slice(row * length, (row + 1) * length);
    const places = own.map((_, p) => p).filter((p) => mask?.data[row * length + p] !== 0);
    return { ids: places.map((p) => own[p] as number), places };
  });
  const beside = model.tensors.read(
    file,
    prompts.map(({ ids }) => ids),
  );
  const samples = prompts.map(({ ids, places }, row): Sample => {
    const sample = beside[row] as (typeof beside)[number];
    const expanded = model.expand(ids, sample.images);
    longest = Math.max(longest, length + expanded.ids.length - places.length);
    return { ...sample, ids: expanded.ids, ...(mask && { places: expandedPlaces(places, expanded) }) };
  });
  return { samples, length: longest };
}

function inputTensors(tensors: ReadonlyMap<string, HostTensor>, path: string, prefix: string): InputTensors {
  const fail = (message: string): never => {
    throw new NoticeError('shape', `${path}${prefix && `, under "${prefix}"`}: ${message}`);
  };
  const get = (name: string, rank: number) => {
    const tensor = tensors.get(prefix + name);
    if (!tensor)
      throw new NoticeError(
        'shape',
        `${path}: tensor "${prefix + name}" is missing; it holds ${namesOf([...tensors.keys()])}`,
      );
    if (tensor.shape.length !== rank)
      throw new NoticeError(
        'shape',
        `${path}: "${prefix + name}" is [${tensor.shape.join(', ')}], expected ${rank} dimensions, batch first`,
      );
    return tensor;
  };
  return {
    fail,
    has: (name) => tensors.has(prefix + name),
    floats: (name, rank) => {
      const tensor = get(name, rank);
      return { shape: tensor.shape, data: asFloat32(tensor, prefix + name) };
    },
    integers: (name, rank) => {
      const tensor = get(name, rank);
      return { shape: tensor.shape, data: integersOf(tensor, `${path}: "${prefix + name}"`) };
    },
  };
}

/** Places of a prompt in which tokens have become those of images: what follows them moves on. */
function expandedPlaces(
  places: readonly number[],
  { ids, positions }: { readonly ids: readonly number[]; readonly positions: readonly number[] },
): number[] {
  return positions.flatMap((position, i) => {
    const end = positions[i + 1] ?? ids.length;
    const place = (places[i] as number) + position - i;
    return Array.from({ length: end - position }, (_, j) => place + j);
  });
}

function integersOf(tensor: HostTensor, name: string): number[] {
  if (!/^[IU]/.test(tensor.dtype) && tensor.dtype !== 'BOOL')
    throw new NoticeError('shape', `${name} is ${tensor.dtype}, expected integers (I32 or I64)`);
  return Array.from(tensor.data as ArrayLike<number | bigint>, Number);
}

/** A tensor to write; its values are asked for when its turn comes. */
export interface TensorOutput {
  readonly name: string;
  /** Default F32. */
  readonly dtype?: 'F32' | 'I32' | 'U8';
  readonly shape: readonly number[];
  data(): Float32Array | Int32Array | Uint8Array | Promise<Float32Array>;
}

/**
 * What a file holds under other names than those that begin with `prefix`, to be written again; nothing where there is no
 * file.
 *
 * @throws WeightsError if it is no safetensors file
 */
export async function tensorsBeside(path: string, prefix: string): Promise<TensorEntry[]> {
  if (!(await stat(path).catch(() => undefined))?.isFile()) return [];
  return [...(await readInputs(path))]
    .filter(([name]) => !name.startsWith(prefix))
    .map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, data: () => data }));
}

/** @throws NoticeError('file') if the file cannot be written */
export async function writeTensors(
  path: string,
  outputs: readonly (TensorOutput | TensorEntry)[],
): Promise<void> {
  const entries = outputs.map((output) => ({ dtype: 'F32', ...output }) as TensorEntry);
  await writeWhole(path, safetensorsChunks(entries));
}

/**
 * To be asked before long work whose result goes into a file.
 *
 * @throws NoticeError('usage') if the folder of the file does not exist
 */
export async function checkOutput(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  if (!(await stat(folder).catch(() => undefined))?.isDirectory())
    throw new NoticeError('usage', `${path} cannot be written: there is no folder ${folder}`);
}

/**
 * `count` integers of a one-dimensional tensor.
 *
 * @throws NoticeError('shape')
 */
export function integersIn(
  tensors: ReadonlyMap<string, HostTensor>,
  path: string,
  name: string,
  count: number,
): number[] {
  const tensor = tensors.get(name);
  if (tensor?.data.length !== count)
    throw new NoticeError(
      'shape',
      `${path}: expected "${name}" [${count}], found ${tensor ? `[${tensor.shape.join(', ')}]` : 'no such tensor'}`,
    );
  return integersOf(tensor, `${path}: "${name}"`);
}

/** The first names, and how many there are. */
function namesOf(names: readonly string[]): string {
  if (names.length === 0) return 'nothing';
  return names.slice(0, SHOWN).join(', ') + (names.length > SHOWN ? `, … (${names.length} tensors)` : '');
}
