// Model folders that differ from one on disk, in memory.

import {
  type HostTensor,
  type ModelSource,
  memorySource,
  readTensors,
  writeSafetensors,
} from '../../src/weights/index.ts';

/** JSON values and bytes by file name; null takes a file away. */
export type FolderFiles = Readonly<Record<string, Uint8Array | object | null>>;

/** A folder with some files put in, in place of those of `below` if it has them. */
export function folderWith(files: FolderFiles, below?: ModelSource): ModelSource {
  const name = below?.name ?? 'folder in memory';
  return {
    name,
    async open(file) {
      const found = files[file];
      if (found === undefined) return below?.open(file);
      if (found === null) return undefined;
      const bytes = found instanceof Uint8Array ? found : new TextEncoder().encode(JSON.stringify(found));
      return memorySource(bytes, `${name}/${file}`);
    },
  };
}

/** A folder's model.safetensors with its tensors renamed, and further ones added. */
export async function renamedWeights(
  source: ModelSource,
  rename: (name: string) => string,
  added: ReadonlyMap<string, HostTensor> = new Map(),
): Promise<Uint8Array> {
  const file = await source.open('model.safetensors');
  if (!file) throw new Error(`${source.name} has no model.safetensors`);
  const tensors = await readTensors(file);
  await file.close();
  return writeSafetensors(
    new Map([...[...tensors].map(([name, tensor]) => [rename(name), tensor] as const), ...added]),
  );
}
