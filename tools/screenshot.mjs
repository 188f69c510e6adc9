// Writes a PNG of a page as the Chromium of the browser tests shows it, with WebGPU:
//   node tools/screenshot.mjs PAGE OUT.png [--width 1200] [--full]
// PAGE is an HTML file or a URL; --width is in CSS pixels; --full takes the whole page, not only its first screen.
// Errors of the page go to stderr.
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';
import { runnerImport } from 'vite';

const HEIGHT = 800;

/** @throws Error for options that parseArgs or the tool does not know */
function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { width: { type: 'string', default: '1200' }, full: { type: 'boolean', default: false } },
  });
  const [page, out] = positionals;
  const width = Number(values.width);
  if (positionals.length !== 2)
    throw new Error(`expected PAGE and OUT.png, found ${positionals.length} paths`);
  if (!Number.isInteger(width) || width < 1)
    throw new Error(`--width is "${values.width}", expected a number of pixels`);
  const url = /^[a-z]+:\/\//i.test(page) ? page : pathToFileURL(resolve(page)).href;
  return { url, out, width, fullPage: values.full };
}

async function screenshot({ url, out, width, fullPage }) {
  // Node 20 does not import TypeScript by itself.
  const { module } = await runnerImport(join(import.meta.dirname, '../test/support/browser.ts'), {
    configFile: false,
  });
  await module.setup();
  const browser = await chromium.launch(module.launchOptions());
  try {
    const page = await browser.newPage({ viewport: { width, height: HEIGHT } });
    page.on('pageerror', (error) => console.error(`page: ${error.message}`));
    page.on('console', (message) => {
      if (message.type() === 'error') console.error(`page: ${message.text()}`);
    });
    const response = await page.goto(url, { waitUntil: 'networkidle' });
    if (response && !response.ok()) throw new Error(`${url}: HTTP status ${response.status()}`);
    await page.screenshot({ path: out, fullPage });
  } finally {
    await browser.close();
  }
}

try {
  await screenshot(readArguments());
} catch (error) {
  console.error(error.message);
  if (error.cause) console.error(error.cause.message);
  process.exitCode = 1;
}
