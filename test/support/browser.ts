// The browser that test/browser and tools/screenshot.mjs run in. On Linux x64 npm brings it: the Chromium of
// @sparticuz/chromium with SwiftShader, its own NSS and a font, so that it needs nothing of the system but glibc.
// Elsewhere it is an installed Chrome with the machine's GPU.

import { createReadStream, createWriteStream, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { chromium, type LaunchOptions } from 'playwright-core';
import { cachedFolder, cacheFolder } from '../../src/platform/node/cache.ts';
import {
  type ChromiumPackage,
  findChromiumPackage,
  unpackArchive,
} from '../../src/platform/node/chromium-package.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The tests run in the Chromium that npm brings, and so on SwiftShader. */
    bundledChromium: boolean;
  }
}

const EXECUTABLE = 'chromium';
/** If any of the last three is missing, a WebGPU canvas ends the GPU process; compute alone needs only the first two. */
const SWIFTSHADER_FLAGS = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
  '--use-vulkan=swiftshader',
  '--use-angle=swiftshader',
];

/** The package to take Chromium from; undefined if NOTICE_BROWSER names a browser or npm has none for this platform. */
export function bundledChromium(): ChromiumPackage | undefined {
  return process.env.NOTICE_BROWSER ? undefined : findChromiumPackage();
}

/** Playwright would end the process on a signal, and tests of others send themselves some. */
const SIGNALS = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false } as const;

/** How Playwright starts the browser. {@link setup} makes sure that it can. */
export function launchOptions(): LaunchOptions {
  const bundled = bundledChromium();
  if (!bundled) {
    const executablePath = process.env.NOTICE_BROWSER;
    return {
      ...SIGNALS,
      ...(executablePath ? { executablePath } : { channel: 'chrome' }),
      args: ['--enable-unsafe-webgpu'],
    };
  }
  const folder = join(cacheFolder(), folderName(bundled));
  const libraries = [join(folder, 'lib'), process.env.LD_LIBRARY_PATH].filter(Boolean).join(':');
  return {
    ...SIGNALS,
    executablePath: join(folder, EXECUTABLE),
    args: SWIFTSHADER_FLAGS,
    env: { ...process.env, LD_LIBRARY_PATH: libraries, FONTCONFIG_FILE: join(folder, 'fonts.conf') },
  };
}

/**
 * Unpacks the bundled Chromium if needed, and starts the browser once. Vitest calls it before the browser tests.
 *
 * @throws Error that says how to get a browser
 */
export async function setup(): Promise<void> {
  const bundled = bundledChromium();
  if (bundled) await cachedFolder(folderName(bundled), EXECUTABLE, (work) => unpack(bundled, work));
  const options = launchOptions();
  try {
    const browser = await chromium.launch(options);
    await browser.close();
  } catch (cause) {
    throw new Error(
      `The browser for tests (${options.executablePath ?? 'an installed Chrome'}) does not start. Install Chrome, or set ` +
        'NOTICE_BROWSER to the executable of a current Chrome, Edge or Chromium. On Linux x64 with glibc 2.34 or later ' +
        "npm brings one: `npm ci`. The other tests run by `npx vitest run --project 'node*'`.",
      { cause },
    );
  }
}

function folderName(bundled: ChromiumPackage): string {
  return `chromium-${bundled.version}`;
}

async function unpack({ archives }: ChromiumPackage, folder: string): Promise<void> {
  await pipeline(
    createReadStream(join(archives, 'chromium.br')),
    createBrotliDecompress(),
    createWriteStream(join(folder, EXECUTABLE), { mode: 0o755 }),
  );
  // Chromium looks for SwiftShader beside its executable.
  for (const name of ['swiftshader.tar.br', 'al2023.tar.br', 'fonts.tar.br'])
    await unpackArchive(join(archives, name), folder);
  // Replaces the package's own file, whose folders are those of a cloud function. Without a font Chromium draws no text.
  writeFileSync(
    join(folder, 'fonts.conf'),
    `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`,
  );
}
