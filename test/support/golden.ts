// The golden fixtures: what Hugging Face's implementation computed for small random models.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Gpu } from '../../src/gpu/index.ts';
import { bestResolution } from '../../src/inputs/index.ts';
import {
  type ImageInput,
  loadModel,
  type Sample,
  type VisionLanguageModel,
  type WeightDtype,
} from '../../src/models/index.ts';
import { fileSource, nodeFolder } from '../../src/platform/node/files.ts';
import { asFloat32, readTensors } from '../../src/weights/index.ts';
import { testGpu } from './gpu.ts';

/** The reference's own f32 error is up to 4e-5 of a tensor's largest value; this leaves room for as much of ours. */
export const GOLDEN = 1e-4;

export function fixture(path: string): string {
  return fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
}

export async function loadFixtureModel(
  name: string,
  options: { dtype?: WeightDtype; gpu?: Gpu } = {},
): Promise<VisionLanguageModel> {
  const gpu = options.gpu ?? (await testGpu());
  return loadModel(gpu, await nodeFolder(fixture(name)), options);
}

export interface GoldenCase {
  readonly id: string;
  readonly mode: 'image' | 'text';
  readonly correct_token: number;
  readonly incorrect_token: number;
  readonly clean: GoldenRun;
  readonly corrupt?: GoldenRun;
  readonly activations: boolean | 'all' | 'light' | 'none';
  readonly [key: string]: unknown;
}

export interface GoldenRun {
  readonly text: string;
  readonly image: string;
  readonly input_ids: number[];
  readonly generated_ids: number[];
  readonly greedy_margin: number;
  readonly [fact: string]: unknown;
}

/** Folders of small random models that have golden tensors, one or more of every family. */
export const TINY_MODELS = [
  ...['blip-tiny', 'instructblip-tiny', 'llava-tiny', 'llava-tiny-gqa', 'llava_next-tiny'],
  ...['llava_onevision-tiny', 'smolvlm-tiny', 'idefics3-tiny', 'qwen2_vl-tiny', 'qwen2_5_vl-tiny'],
  ...['qwen3_vl-tiny', 'paligemma-tiny', 'paligemma2-tiny', 'gemma3-tiny'],
];

/** What a family's pixel values are as an image, by their shape and what a case says of the run. */
type ImageOf = (shape: readonly number[], run: GoldenRun) => Omit<ImageInput, 'data'>;

/** Pictures [3, height, width]; tiles [tile, 3, height, width] have the whole picture behind them. */
const PICTURE: ImageOf = (shape, { tile_rows: rows, tile_columns: columns }) => {
  const [height, width] = shape.slice(-2) as [number, number];
  if (shape.length < 4) return { height, width };
  return { height, width, tiles: { rows: rows as number, columns: columns as number, overview: 'last' } };
};

/** Tiles behind the whole picture, as many as its size and the folder's resolutions give. */
function anyres(pinpoints: readonly (readonly [height: number, width: number])[]): ImageOf {
  const resolutions = pinpoints.map(([height, width]) => ({ height, width }));
  return ([, , side = 0], { image_size_hw }) => {
    const [height, width] = image_size_hw as [number, number];
    const best = bestResolution({ height, width }, resolutions);
    const tiles = { rows: best.height / side, columns: best.width / side, overview: 'first' } as const;
    return { height: side, width: side, tiles, picture: { height, width } };
  };
}

function imagesOf(folder: string): ImageOf {
  const { image_grid_pinpoints: pinpoints } = JSON.parse(
    readFileSync(fixture(`${folder}/config.json`), 'utf8'),
  ) as { image_grid_pinpoints?: [number, number][] };
  return pinpoints ? anyres(pinpoints) : PICTURE;
}

export class Golden {
  readonly cases: readonly GoldenCase[];
  readonly #tensors: Map<string, { shape: readonly number[]; data: Float32Array }>;
  readonly #imageOf: ImageOf;

  private constructor(
    cases: readonly GoldenCase[],
    tensors: Map<string, { shape: readonly number[]; data: Float32Array }>,
    imageOf: ImageOf,
  ) {
    this.cases = cases;
    this.#tensors = tensors;
    this.#imageOf = imageOf;
  }

  static async open(folder: string, cases = folder): Promise<Golden> {
    const json = JSON.parse(readFileSync(fixture(`${cases}/cases.json`), 'utf8')) as { cases: GoldenCase[] };
    const source = await fileSource(fixture(`${folder}/golden.safetensors`));
    const raw = await readTensors(source);
    await source.close();
    const tensors = new Map(
      [...raw].map(([name, tensor]) => [
        name,
        {
          shape: tensor.shape,
          data: tensor.dtype.startsWith('I')
            ? Float32Array.from(tensor.data as ArrayLike<number>, Number)
            : asFloat32(tensor, name),
        },
      ]),
    );
    return new Golden(json.cases, tensors, imagesOf(cases));
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  get(name: string): { shape: readonly number[]; data: Float32Array } {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`no golden tensor ${name}`);
    return tensor;
  }

  names(prefix: string): string[] {
    return [...this.#tensors.keys()].filter((name) => name.startsWith(prefix));
  }

  /** The image of a case's run. */
  image(id: string, run: 'clean' | 'corrupt'): ImageInput {
    return this.sample(id, run).images[0] as ImageInput;
  }

  /** The sample of a case's run. In text cases the corrupt run has the clean run's image. */
  sample(id: string, run: 'clean' | 'corrupt'): Sample {
    const own = `${id}/${run}/pixel_values`;
    const side = this.has(own) ? run : 'clean';
    const { shape, data } = this.get(`${id}/${side}/pixel_values`);
    const grid = `${id}/${side}/image_grid_thw`;
    const image = this.has(grid)
      ? packed(data, this.get(grid).data)
      : { data, ...this.#imageOf(shape, this.case(id)[side] as GoldenRun) };
    const instruction = `${id}/${run}/qformer_input_ids`;
    return {
      images: [image],
      ids: [...this.get(`${id}/${run}/input_ids`).data],
      ...(this.has(instruction) && { instruction: [...this.get(instruction).data] }),
    };
  }

  case(id: string): GoldenCase {
    const found = this.cases.find((one) => one.id === id);
    if (!found) throw new Error(`no case ${id}`);
    return found;
  }
}

/** Patches of a picture, [rows · columns, 3 · 2 · side²]. */
function packed(
  data: Float32Array,
  [, rows = 0, columns = 0]: ArrayLike<number> & Iterable<number>,
): ImageInput {
  const side = Math.sqrt(data.length / (rows * columns * 6));
  return { data, height: rows * side, width: columns * side, patches: { rows, columns } };
}
