// Image features that outlive the work in which they were made.

import type { ImageFeatures, ImageInput, VisionLanguageModel } from '../models/index.ts';

/**
 * What the vision tower makes of images, kept on the GPU for several walks over the same image objects.
 *
 * @returns features; release their `tensors` with `model.gpu.release` when done with them
 * @throws the signal's reason
 */
export function keepFeatures(
  model: VisionLanguageModel,
  images: readonly ImageInput[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<ImageFeatures> {
  return model.gpu.work(async (w) => {
    const features = await model.encodeImages(w, [...new Set(images)]);
    w.keep(...features.tensors);
    return features;
  }, options);
}
