// The explorer's page in a real browser: built once, served from this machine, opened in headless Chromium.

import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { expect, onTestFinished } from 'vitest';
import { type StaticServer, serveFolder } from '../../src/cli/static-server.ts';
import { buildExplorer } from '../../tools/build-explorer.mjs';
import { launchOptions, setup } from '../support/browser.ts';

/** How long the page may take for a step; on software adapters kernels are compiled first. */
const PATIENCE = 60_000;

export interface PageOptions extends Pick<BrowserContextOptions, 'colorScheme' | 'permissions' | 'viewport'> {
  /** Behind the address: `#model=…`. */
  readonly hash?: string;
  /** Path that the page is served under. Default `/`. */
  readonly base?: string;
  /** Runs in the page before its own scripts. */
  readonly before?: () => void;
  /** Whether the page's worker finds WebGPU. Default true. */
  readonly webgpu?: boolean;
  /** Errors of the console that the test expects; any other fails it. */
  readonly allowedErrors?: RegExp;
}

// Shared by the test files of a process, and gone with it.
let folder: Promise<string> | undefined;
let browser: Promise<Browser> | undefined;
const servers = new Map<string, Promise<StaticServer>>();

/**
 * Opens the page in a context of its own, which ends with the test. An error in the console, an exception that nobody
 * caught and a violation of the Content-Security-Policy fail the test.
 */
export async function openPage(options: PageOptions = {}): Promise<Page> {
  const { hash = '', base = '/', before, webgpu = true, allowedErrors, ...settings } = options;
  const { address } = await once(servers, base, async () => serveFolder(await explorerFolder(), 0, base));
  browser ??= launch();
  const context = await (await browser).newContext({ viewport: { width: 1280, height: 900 }, ...settings });
  const errors: string[] = [];
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const note = (text: string) => {
    if (!allowedErrors?.test(text)) errors.push(text);
  };
  page.on('pageerror', ({ message }) => note(message));
  page.on('console', (message) => {
    if (message.type() === 'error') note(message.text());
  });
  onTestFinished(async () => {
    await context.close();
    expect(errors, "errors in the page's console").toEqual([]);
  });
  if (before) await page.addInitScript(before);
  if (!webgpu)
    await page.route('**/worker-*.js', async (route) => {
      const response = await route.fetch();
      const without = "Object.defineProperty(navigator, 'gpu', { value: undefined });";
      await route.fulfill({ response, body: without + (await response.text()) });
    });
  await page.goto(`${address}${hash}`);
  return page;
}

/** Folder of the built page. `NOTICE_TEST_EXPLORER` names one that is there already, for work on tests alone. */
export function explorerFolder(): Promise<string> {
  folder ??= process.env.NOTICE_TEST_EXPLORER
    ? Promise.resolve(process.env.NOTICE_TEST_EXPLORER)
    : buildInto(join(tmpdir(), 'notice-explorer-'));
  return folder;
}

async function buildInto(prefix: string): Promise<string> {
  const made = await mkdtemp(prefix);
  process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  await buildExplorer(made);
  return made;
}

async function launch(): Promise<Browser> {
  await setup();
  return chromium.launch(launchOptions());
}

function once<Key, T>(made: Map<Key, Promise<T>>, key: Key, make: () => Promise<T>): Promise<T> {
  const found = made.get(key) ?? make();
  made.set(key, found);
  return found;
}
