import { NoticeError } from '../errors.ts';
import type { Gpu } from '../gpu/index.ts';
import type { ElementType } from '../kernels/index.ts';
import { Checkpoint, type ModelSource, readJson, WeightLoader } from '../weights/index.ts';
import { Blip } from './blip/blip.ts';
import { parseBlipConfig } from './blip/config.ts';
import { loadBlipWeights } from './blip/weights.ts';
import type { VisionLanguageModel } from './model.ts';

export interface LoadOptions {
  /** Storage type of the weights in GPU memory; default as in the file. */
  readonly dtype?: ElementType;
}

/**
 * Loads a model folder in Hugging Face's layout.
 *
 * @throws ModelFileError, WeightsError, NoticeError('config') naming the file and what is wrong with it
 */
export async function loadModel(
  gpu: Gpu,
  source: ModelSource,
  { dtype }: LoadOptions = {},
): Promise<VisionLanguageModel> {
  const json = (await readJson(source, 'config.json')) as { model_type?: unknown } | null;
  const type = json?.model_type;
  if (type !== 'blip')
    throw new NoticeError(
      'config',
      `${source.name}/config.json: model_type is ${JSON.stringify(type)}; supported are "blip" (BlipForQuestionAnswering) and "llava"`,
    );
  const checkpoint = await Checkpoint.open(source);
  const loader = new WeightLoader(gpu, checkpoint, dtype ? { type: dtype } : {});
  try {
    const config = parseBlipConfig(json);
    const weights = await loadBlipWeights(loader, checkpoint, config);
    await gpu.finish();
    return new Blip(gpu, config, weights, loader.bytes, () => loader.destroy());
  } catch (error) {
    loader.destroy();
    throw error;
  } finally {
    await checkpoint.close();
  }
}
