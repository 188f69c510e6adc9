// Samples as calls take them and as a processor makes them: a prompt with one image may name it alone.

import { checkList } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { ImageInput } from './image-input.ts';
import type { Sample } from './model.ts';

/** What every call takes for a {@link Sample}: `{ image, ids }` stands for `{ images: [image], ids }`. */
export type SampleInput = Sample | (Omit<Sample, 'images'> & { readonly image: ImageInput });

/** A sample that a processor made. A copy by `{ ...sample }` is a plain one. */
export class ProcessedSample implements Sample {
  readonly images: readonly ImageInput[];
  readonly ids: readonly number[];
  readonly instruction?: readonly number[];

  constructor(
    images: readonly ImageInput[],
    ids: readonly number[],
    instruction?: readonly number[] | undefined,
  ) {
    this.images = images;
    this.ids = ids;
    if (instruction) this.instruction = instruction;
  }

  /**
   * The image of a sample that has one.
   *
   * @throws NoticeError('image') for none, or several
   */
  get image(): ImageInput {
    const [image] = this.images;
    if (!image || this.images.length > 1)
      throw new NoticeError('image', `the sample has ${this.images.length} images, not one: see images`);
    return image;
  }
}

/**
 * The samples that a call was given; for the same object the same sample.
 *
 * @throws NoticeError('usage') for what is none
 */
export function samplesOf(given: readonly SampleInput[]): Sample[] {
  checkList(given, 'samples', 'samples');
  const made = new Map<SampleInput, Sample>();
  return Array.from(given, (input, index) => {
    const sample = made.get(input) ?? sampleOf(input, `sample ${index}`);
    made.set(input, sample);
    return sample;
  });
}

function sampleOf(given: SampleInput, name: string): Sample {
  const form = 'expected { images, ids }, or { image, ids } with one image';
  if (typeof given !== 'object' || given === null)
    throw new NoticeError('usage', `${name} is ${given === null ? 'null' : typeof given}, ${form}`);
  checkList(given.ids, "a prompt's token ids", 'whole numbers from 0');
  if (!('images' in given)) {
    const { image, ...rest } = given;
    if (image === undefined) throw new NoticeError('usage', `${name} has no images, ${form}`);
    return { ...rest, images: [image] };
  }
  checkList(given.images, `${name}: images`, 'images');
  if (Object.hasOwn(given, 'image'))
    throw new NoticeError('usage', `${name} has both image and images, ${form}`);
  return given;
}
