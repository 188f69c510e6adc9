// The npm package @sparticuz/chromium: a headless Chromium for Linux x64 with SwiftShader, as brotli archives.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { brotliDecompressSync } from 'node:zlib';
import { peer } from './peer.ts';

export interface ChromiumPackage {
  /** The folder of its archives. */
  readonly archives: string;
  readonly version: string;
}

/** @returns undefined where the package is not installed or the platform is not Linux x64 */
export function findChromiumPackage(): ChromiumPackage | undefined {
  if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
  const require = createRequire(import.meta.url);
  let entry: string;
  try {
    entry = require.resolve('@sparticuz/chromium');
  } catch {
    return undefined;
  }
  for (let folder = dirname(entry); folder !== dirname(folder); folder = dirname(folder)) {
    const archives = join(folder, 'bin');
    if (existsSync(join(archives, 'swiftshader.tar.br'))) {
      const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
        version: string;
      };
      return { archives, version };
    }
  }
  return undefined;
}

/** Unpacks a `.tar.br` file into an existing folder. */
export async function unpackArchive(archive: string, folder: string): Promise<void> {
  const { extract } = await peer('tar', 'Unpacking SwiftShader', () => import('tar'));
  const unpacking = extract({ cwd: folder });
  const done = new Promise<void>((resolve, reject) => {
    unpacking.on('close', () => resolve());
    unpacking.on('error', reject);
  });
  unpacking.end(brotliDecompressSync(readFileSync(archive)));
  await done;
}
