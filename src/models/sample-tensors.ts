// Samples as tensors of files, under the names that transformers gives a model's inputs.

import type { ImageInput } from './image-input.ts';
import type { Sample } from './model.ts';

/** Tensors of a file, perhaps those under a prefix. What is missing or has other dimensions is an error that names it. */
export interface InputTensors {
  has(name: string): boolean;
  /** @throws NoticeError('shape') */
  floats(name: string, rank: number): { readonly shape: readonly number[]; readonly data: Float32Array };
  /** @throws NoticeError('shape') */
  integers(
    name: string,
    rank: number,
  ): { readonly shape: readonly number[]; readonly data: readonly number[] };
  /** @throws NoticeError('shape') with a message about the file */
  fail(message: string): never;
}

export interface OutputTensor {
  readonly name: string;
  readonly dtype?: 'F32' | 'I32';
  readonly shape: readonly number[];
  readonly data: Float32Array | Int32Array;
}

/** How a family's inputs stand in files: everything of a sample beside its token ids. */
export interface SampleTensors {
  /** `pixel_values`, then what belongs to it. */
  readonly names: readonly string[];
  write(samples: readonly Sample[]): OutputTensor[];
  /**
   * @param prompts token ids of each, without padding
   * @returns what each sample holds beside them
   */
  read(file: InputTensors, prompts: readonly (readonly number[])[]): Omit<Sample, 'ids' | 'places'>[];
}

/** One picture with each prompt: `pixel_values` [batch, 3, height, width]. */
export const PICTURE_TENSORS: SampleTensors = {
  names: ['pixel_values'],
  write: (samples) => {
    const images = samples.flatMap((sample) => sample.images);
    const { height, width } = images[0] as ImageInput;
    const shape = [images.length, 3, height, width];
    return [{ name: 'pixel_values', shape, data: joined(images.map(({ data }) => data)) }];
  },
  read: (file, prompts) => {
    const { shape, data } = file.floats('pixel_values', 4);
    const [batch, channels, height, width] = shape as [number, number, number, number];
    if (batch !== prompts.length || channels !== 3)
      file.fail(
        `expected pixel_values [${prompts.length}, 3, height, width] with ${prompts.length} prompts, found [${shape.join(', ')}]`,
      );
    const size = 3 * height * width;
    return prompts.map((_, i) => ({
      images: [{ data: data.subarray(i * size, (i + 1) * size), height, width }],
    }));
  },
};

/** One behind the other. */
export function joined(rows: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(rows.reduce((sum, row) => sum + row.length, 0));
  let at = 0;
  for (const row of rows) {
    out.set(row, at);
    at += row.length;
  }
  return out;
}
