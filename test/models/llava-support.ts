import { loadModel, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { runWithCache } from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { type HostTensor, readJson, readTensors } from '../../src/weights/index.ts';
import { type FolderFiles, folderWith } from '../support/folder.ts';
import { fixture } from '../support/golden.ts';
import { testGpu } from '../support/gpu.ts';

export const TINY = nodeFolder(fixture('llava-tiny'));
/** Width of llava-tiny's language model, and its image token. */
export const WIDTH = 48;
export const IMAGE = 479;

/** llava-tiny with other files. */
export async function alteredModel(files: FolderFiles): Promise<VisionLanguageModel> {
  return loadModel(await testGpu(), folderWith(files, TINY));
}

/** llava-tiny's config.json with other fields; `text` goes into its text_config. */
export async function alteredConfig(changes: object, text: object = {}): Promise<object> {
  const config = (await readJson(TINY, 'config.json')) as { text_config: object };
  return { ...config, ...changes, text_config: { ...config.text_config, ...text } };
}

/** A tensor of llava-tiny. */
export async function weight(name: string): Promise<HostTensor & { dtype: 'F32' }> {
  const file = await TINY.open('model.safetensors');
  if (!file) throw new Error(`${TINY.name} has no weights`);
  const found = (await readTensors(file, (other) => other === name)).get(name);
  await file.close();
  if (found?.dtype !== 'F32') throw new Error(`${name} is not an f32 tensor`);
  return found;
}

/** Some activations of one sample, in the order of their names. */
export async function activations(
  model: VisionLanguageModel,
  sample: Sample,
  names: readonly string[],
): Promise<Float32Array[]> {
  const { cache } = await runWithCache(model, [sample], { names });
  const values: Float32Array[] = [];
  for (const name of names) values.push(await cache.read(name));
  cache.release();
  return values;
}
