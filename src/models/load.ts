import { NoticeError } from '../errors.ts';
import type { Gpu } from '../gpu/index.ts';
import type { ElementType } from '../kernels/index.ts';
import { Checkpoint, type ModelSource, readJson, WeightLoader } from '../weights/index.ts';
import { loadBlip } from './blip/blip.ts';
import type { ModelFamily } from './family.ts';
import { loadLlava } from './llava/llava.ts';
import type { VisionLanguageModel } from './model.ts';

/** By config.json's model_type. */
const FAMILIES: Readonly<Record<string, ModelFamily>> = { blip: loadBlip, llava: loadLlava };

export interface LoadOptions {
  /** Storage type of the weights in GPU memory; default as in the file. */
  readonly dtype?: ElementType;
  /** Further kinds of models by their model_type. */
  readonly families?: Readonly<Record<string, ModelFamily>>;
}

/**
 * Loads a model folder in Hugging Face's layout.
 *
 * @throws ModelFileError, WeightsError, NoticeError('config') naming the file and what is wrong with it
 */
export async function loadModel(
  gpu: Gpu,
  source: ModelSource,
  { dtype, families }: LoadOptions = {},
): Promise<VisionLanguageModel> {
  const config = (await readJson(source, 'config.json')) as { model_type?: unknown } | null;
  const known = new Map(Object.entries({ ...FAMILIES, ...families }));
  const family = known.get(String(config?.model_type));
  if (!family)
    throw new NoticeError(
      'config',
      `${source.name}/config.json: model_type is ${JSON.stringify(config?.model_type)}; supported are ${[...known.keys()].join(', ')}`,
    );
  const checkpoint = await Checkpoint.open(source);
  const loader = new WeightLoader(gpu, checkpoint, dtype ? { type: dtype } : {});
  let model: VisionLanguageModel | undefined;
  try {
    model = await family({ gpu, source, config, checkpoint, loader });
    await gpu.finish();
    return model;
  } catch (error) {
    (model ?? loader).destroy();
    throw error;
  } finally {
    await checkpoint.close();
  }
}
