// SwiftShader, a Vulkan driver that runs on the CPU, out of the npm package @sparticuz/chromium: machines without
// a GPU need nothing but `npm ci`. Linux x64 only; the files need only libc.

import { readFile, writeFile } from 'node:fs/promises';
import { constants } from 'node:os';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { cachedFolder } from './cache.ts';
import { findChromiumPackage, unpackArchive } from './chromium-package.ts';

const MANIFEST = 'vk_swiftshader_icd.json';
const DRIVER = 'libvk_swiftshader.so';
const LOADER = 'libvulkan.so.1';
/** RTLD_NODELETE: the loader stays although Node closes it again, since it is no Node module. */
const RTLD_NODELETE = 0x1000;

/**
 * Unpacks SwiftShader if needed and loads the Vulkan loader, or what stands for it, into this process, so that Dawn finds it.
 *
 * @returns false where the package is not installed or the platform is not Linux x64
 */
export async function provideSwiftShader(): Promise<boolean> {
  const chromium = findChromiumPackage();
  if (!chromium) return false;
  const folder = await cachedFolder(`swiftshader-${chromium.version}`, MANIFEST, (work) =>
    unpackArchive(join(chromium.archives, 'swiftshader.tar.br'), work),
  );
  if (isMainThread) {
    process.env.VK_ICD_FILENAMES = join(folder, MANIFEST);
    process.env.VK_DRIVER_FILES = join(folder, MANIFEST);
    loadLibrary(join(folder, LOADER), constants.dlopen.RTLD_GLOBAL);
  } else {
    // Native code does not see a worker thread's process.env, so the loader cannot be told which driver to take.
    const alone = await cachedFolder(`swiftshader-${chromium.version}-alone`, LOADER, async (work) =>
      writeFile(join(work, LOADER), renamed(await readFile(join(folder, DRIVER)))),
    );
    loadLibrary(join(alone, LOADER), constants.dlopen.RTLD_LOCAL);
  }
  return true;
}

/**
 * The driver under the loader's name. It has all of Vulkan's entry points itself, so Dawn, which asks for a library of that
 * name and gets what is loaded, can do without a loader.
 */
function renamed(driver: Buffer): Buffer {
  const name = Buffer.from(`${DRIVER}\0`);
  const place = driver.indexOf(name); // in the table of strings, its only occurrence
  if (place < 0) throw new Error(`${DRIVER} does not hold its own name`);
  name.fill(0).write(LOADER);
  name.copy(driver, place);
  return driver;
}

function loadLibrary(path: string, scope: number): void {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW | scope | RTLD_NODELETE);
  } catch (error) {
    // Expected: a plain library does not register itself as a Node module, but it is now loaded.
    if (!(error instanceof Error && error.message.includes('did not self-register'))) throw error;
  }
}
