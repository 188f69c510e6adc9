// A model of the Hugging Face hub by its id, in one call.

import type { Gpu } from '../gpu/index.ts';
import type { ImageBackend } from '../inputs/index.ts';
import { type HubFolder, type HubFolderOptions, hubFolder } from '../weights/index.ts';
import { type LoadOptions, loadModel } from './load.ts';
import type { VisionLanguageModel } from './model.ts';
import { Processor } from './processor.ts';

export interface HubLoadOptions extends LoadOptions, Omit<HubFolderOptions, 'cache' | 'signal'> {
  /** Name or text of the prompt template, as `Processor.load` takes it. */
  readonly template?: string | undefined;
  /** Whose resizing of pictures is done, as `Processor.load` takes it. */
  readonly imageBackend?: ImageBackend | undefined;
}

export interface LoadedFromHub {
  readonly model: VisionLanguageModel;
  readonly processor: Processor;
  /** The files, for whatever else is to be read of them. */
  readonly source: HubFolder;
  /** What the revision stood for: "owner/name@commit" loads the same again. */
  readonly commit: string;
}

/**
 * Loads a model of the hub, "owner/name" or "owner/name@revision" (a branch, tag or commit; default main), with its processor.
 * Its files are streamed by range requests; what `cache` keeps is not asked for again. The commit of the revision is found once, at the
 * beginning. In Node `pullModel` of `notice-webgpu/node` shares Python's cache instead.
 *
 * @throws NoticeError usage: no such model or revision, no access; as `hubFolder`, {@link loadModel} and `Processor.load`
 */
export async function loadFromHub(
  gpu: Gpu,
  model: string,
  { template, imageBackend, ...options }: HubLoadOptions = {},
): Promise<LoadedFromHub> {
  const source = await hubFolder(model, options);
  const loaded = await loadModel(gpu, source, { ...options, cache: undefined });
  try {
    const processor = await Processor.load(loaded, source, template, imageBackend);
    return { model: loaded, processor, source, commit: source.commit };
  } catch (error) {
    loaded.destroy();
    throw error;
  }
}
