// What an install takes on disk, by its parts.

import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export const SOFTWARE_ADAPTER = 'the software adapter (SwiftShader in @sparticuz/chromium)';

/** Parts of the command line's install that are worth a name, by folders of node_modules. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  'the library': ['notice-webgpu'],
  'the command line, page, models and data': ['notice-webgpu-cli'],
  'Dawn for five platforms': ['webgpu', '@webgpu'],
  'libvips (sharp)': ['sharp', '@img'],
  'figures (Plot, resvg, font)': ['@observablehq', 'd3*', '@resvg', 'dejavu-fonts-ttf', 'linkedom'],
  'the hub (client, tokenizers, templates)': ['@huggingface'],
  [SOFTWARE_ADAPTER]: ['@sparticuz'],
};

/** Bytes of a folder's files, links not followed. */
async function bytesIn(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) bytes += (await lstat(join(entry.parentPath, entry.name))).size;
  return bytes;
}

/** @returns MB (10⁶ bytes) of each part, of everything else, and of all */
export async function installSizes(project: string): Promise<Map<string, number>> {
  const packages = join(project, 'node_modules');
  const sizes = new Map([...Object.keys(PARTS), 'everything else', 'all'].map((name) => [name, 0]));
  for (const entry of await readdir(packages, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const megabytes = (await bytesIn(join(packages, entry.name))) / 1e6;
    const holds = (names: readonly string[]) =>
      names.some((name) =>
        name.endsWith('*') ? entry.name.startsWith(name.slice(0, -1)) : entry.name === name,
      );
    const [part = 'everything else'] = Object.entries(PARTS).find(([, names]) => holds(names)) ?? [];
    for (const name of [part, 'all']) sizes.set(name, sizes.get(name)! + megabytes);
  }
  return sizes;
}
