// SwiftShader, a Vulkan driver that runs on the CPU, out of the npm package @sparticuz/chromium: machines without
// a GPU need nothing but `npm ci`. Linux x64 only; the files need only libc.

import { constants } from 'node:os';
import { join } from 'node:path';
import { cachedFolder } from './cache.ts';
import { findChromiumPackage, unpackArchive } from './chromium-package.ts';

const MANIFEST = 'vk_swiftshader_icd.json';
const LOADER = 'libvulkan.so.1';
/** RTLD_NODELETE: the loader stays although Node closes it again, since it is no Node module. */
const RTLD_NODELETE = 0x1000;

/**
 * Unpacks SwiftShader if needed and loads the Vulkan loader into this process, so that Dawn finds both.
 *
 * @returns false where the package is not installed or the platform is not Linux x64
 */
export async function provideSwiftShader(): Promise<boolean> {
  const chromium = findChromiumPackage();
  if (!chromium) return false;
  const folder = await cachedFolder(`swiftshader-${chromium.version}`, MANIFEST, (work) =>
    unpackArchive(join(chromium.archives, 'swiftshader.tar.br'), work),
  );
  process.env.VK_ICD_FILENAMES = join(folder, MANIFEST);
  process.env.VK_DRIVER_FILES = join(folder, MANIFEST);
  try {
    process.dlopen(
      { exports: {} },
      join(folder, LOADER),
      constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | RTLD_NODELETE,
    );
  } catch (error) {
    // Expected: a plain library does not register itself as a Node module, but it is now loaded.
    if (!(error instanceof Error && error.message.includes('did not self-register'))) throw error;
  }
  return true;
}
