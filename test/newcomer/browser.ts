// Opens what a bundler made in headless Chromium.

import { chromium } from 'playwright-core';
import { serveFolder } from '../../src/cli/static-server.ts';
import { launchOptions, setup } from '../support/browser.ts';

/** Kernels are compiled on the CPU, once in the window and once in the worker. */
const PATIENCE = 120_000;

export interface Seen {
  /** The page's text. */
  readonly text: string;
  /** What it wrote to the console. */
  readonly lines: readonly string[];
  /** Exceptions and errors of the console. */
  readonly errors: readonly string[];
  /** Requests by path, with the ranges that they asked for. */
  readonly requests: readonly { readonly path: string; readonly range: string | undefined }[];
}

/** Opens a folder's index.html and waits until window and worker have answered. */
export async function openBuilt(folder: string): Promise<Seen> {
  await setup();
  const server = await serveFolder(folder);
  const browser = await chromium.launch(launchOptions());
  try {
    const page = await browser.newPage();
    const lines: string[] = [];
    const errors: string[] = [];
    const requests: { path: string; range: string | undefined }[] = [];
    page.on('request', (request) => {
      requests.push({ path: new URL(request.url()).pathname, range: request.headers().range });
    });
    page.on('pageerror', ({ message }) => errors.push(message));
    page.on('console', (message) => {
      // A browser reports every file that is not there; models leave some out, such as the parts of an index.
      if (/status of 404/.test(message.text())) return;
      (message.type() === 'error' ? errors : lines).push(message.text());
    });
    const answered = page.waitForEvent('console', {
      predicate: (message) => message.text().startsWith('from the worker:'),
      timeout: PATIENCE,
    });
    const failed = page.waitForEvent('pageerror', { timeout: PATIENCE }).catch(() => new Promise(() => {}));
    await page.goto(server.address);
    await Promise.race([answered, failed]).catch(() => {}); // what there is by then tells more
    return { text: (await page.textContent('body'))?.trim() ?? '', lines, errors, requests };
  } finally {
    await browser.close();
    await server.close();
  }
}
