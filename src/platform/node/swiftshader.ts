// SwiftShader, a Vulkan driver that runs on the CPU, out of the npm package @sparticuz/chromium: machines without
// a GPU need nothing but `npm ci`. Linux x64 only; the files need only libc.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants, homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { extract } from 'tar';

const MANIFEST = 'vk_swiftshader_icd.json';
const LOADER = 'libvulkan.so.1';
/** RTLD_NODELETE: the loader stays although Node closes it again, since it is no Node module. */
const RTLD_NODELETE = 0x1000;

/** The folder for what can be made again: unpacked drivers, tuning results. */
export function cacheFolder(): string {
  const base = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(base, 'notice-webgpu');
}

/**
 * Unpacks SwiftShader if needed and loads the Vulkan loader into this process, so that Dawn finds both.
 *
 * @returns false where the package is not installed or the platform is not Linux x64
 */
export async function provideSwiftShader(): Promise<boolean> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return false;
  const archive = findArchive();
  if (!archive) return false;
  const folder = await unpackOnce(archive.file, join(cacheFolder(), `swiftshader-${archive.version}`));
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

function findArchive(): { file: string; version: string } | undefined {
  const require = createRequire(import.meta.url);
  let entry: string;
  try {
    entry = require.resolve('@sparticuz/chromium');
  } catch {
    return undefined;
  }
  for (let folder = dirname(entry); folder !== dirname(folder); folder = dirname(folder)) {
    const file = join(folder, 'bin/swiftshader.tar.br');
    if (existsSync(file)) {
      const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        version: string;
      };
      return { file, version };
    }
  }
  return undefined;
}

/** Unpacks beside the target and renames, so that a folder that exists is complete, also with two processes at it. */
async function unpackOnce(archive: string, target: string): Promise<string> {
  if (existsSync(join(target, MANIFEST))) return target;
  mkdirSync(dirname(target), { recursive: true });
  const work = mkdtempSync(`${target}.`);
  const unpacking = extract({ cwd: work });
  const done = new Promise<void>((resolve, reject) => {
    unpacking.on('close', () => resolve());
    unpacking.on('error', reject);
  });
  unpacking.end(brotliDecompressSync(readFileSync(archive)));
  await done;
  try {
    renameSync(work, target);
  } catch (error) {
    rmSync(work, { recursive: true, force: true });
    if (!existsSync(join(target, MANIFEST))) throw error; // otherwise another process was first
  }
  return target;
}
