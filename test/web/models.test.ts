// Models of the user's: a folder on the machine, a hub.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { describe, expect, test } from 'vitest';
import { type Behaviour, hub } from '../hub/hub.ts';
import type { LocalServer } from '../hub/server.ts';
import { LONG } from '../support/long.ts';
import { openPage } from './support.ts';

const BLIP = 'weights/blip-shapes';
const files = Object.fromEntries(readdirSync(BLIP).map((file) => [file, readFileSync(join(BLIP, file))]));

/** The page with the choice of models open. */
async function choosing(options: Parameters<typeof openPage>[0] = {}): Promise<Page> {
  const page = await openPage(options);
  await page.getByText('Another model').click();
  return page;
}

const openModel = (page: Page) => page.getByRole('region', { name: 'Model', exact: true });

test('a folder, in a browser without a directory picker: what it takes, then its answers', async () => {
  const page = await choosing({
    before: () => {
      Object.assign(globalThis, { showDirectoryPicker: undefined });
    },
  });
  await page.getByLabel('Choose a folder').setInputFiles('weights/llava-shapes');
  const plan = page.getByRole('table', { name: 'What the weights take' });
  await plan.getByRole('row', { name: /^in the file/ }).waitFor();
  expect(await plan.getByRole('row').count()).toBe(1 + 6);
  await plan.getByRole('radio', { name: 'int8' }).check();
  await page.getByRole('button', { name: 'Load llava-shapes' }).click();
  await openModel(page).getByText('llava, vision').waitFor();
  await openModel(page).getByText('as int8').waitFor();
  await page.getByRole('row', { name: /^clean heart/i }).waitFor();
});

test.runIf(LONG)('a folder that is no model: the file that is missing', async () => {
  const page = await choosing({
    before: () => {
      Object.assign(globalThis, { showDirectoryPicker: undefined });
    },
  });
  await page.getByLabel('Choose a folder').setInputFiles('data/scenes');
  await page.getByRole('alert').getByText('config.json').waitFor();
});

describe('a hub', () => {
  /** Answers pages of other origins as Hugging Face does. */
  const open: NonNullable<Behaviour['first']> = ({ request, response }) => {
    response.setHeader('Access-Control-Allow-Origin', '*');
    response.setHeader('Access-Control-Expose-Headers', 'ETag, Link, Content-Range, Accept-Ranges');
    if (request.method !== 'OPTIONS') return false;
    response.setHeader('Access-Control-Allow-Headers', 'Authorization, Range, If-Range');
    response.writeHead(204).end();
    return true;
  };

  async function ask(page: Page, server: LocalServer, token?: string): Promise<void> {
    await page.getByRole('textbox', { name: 'Model' }).fill('org/tiny');
    await page.getByText('Access token, other hub').click();
    await page.getByLabel('Address of a hub').fill(server.url);
    if (token) await page.getByLabel('Token, for gated').fill(token);
    await page.getByRole('button', { name: 'See what it takes' }).click();
  }

  const load = (page: Page) => page.getByRole('button', { name: 'Load org/tiny' }).click();
  const weightRequests = ({ requests }: LocalServer) =>
    requests.filter(({ line }) => line.startsWith('GET') && line.endsWith('.safetensors'));

  test('loads, in pieces, keeps them, and asks for none of them the next time; they can be deleted', async () => {
    let cut = 0;
    const server = await hub(files, {
      first: open,
      token: 'hf_secret',
      // The connection breaks twice, each time a little further on.
      cutAfter: () => (++cut <= 2 ? 1_000_000 : undefined),
    });
    const page = await choosing({ allowedErrors: /ERR_(CONTENT_LENGTH_MISMATCH|CONNECTION|INCOMPLETE)|401/ });
    await ask(page, server);
    await page.getByRole('alert').getByText('give a token').waitFor();
    await page.getByLabel('Token, for gated').fill('hf_secret');
    await page.getByRole('button', { name: 'See what it takes' }).click();
    await load(page);
    await openModel(page).getByText('org/tiny').first().waitFor();
    const stored = page.getByRole('group', { name: 'Kept in this browser' });
    await stored.getByText('org/tiny').waitFor();
    expect(await page.evaluate(() => JSON.stringify(localStorage))).not.toContain('hf_secret');
    expect(page.url()).not.toContain('hf_secret');

    const before = weightRequests(server).length;
    await page.getByRole('button', { name: 'See what it takes' }).click();
    await load(page);
    await openModel(page).getByText('org/tiny').first().waitFor();
    expect(weightRequests(server).length).toBe(before);

    await stored.getByRole('button', { name: /^Delete/ }).click();
    await stored.waitFor({ state: 'detached' });
  });

  test.runIf(LONG)('without range requests it is read whole', async () => {
    const server = await hub(files, {
      first: (exchange) => {
        delete exchange.request.headers.range;
        return open(exchange);
      },
    });
    const page = await choosing();
    await ask(page, server);
    await load(page);
    await openModel(page).getByText('org/tiny').first().waitFor();
  });

  test.runIf(LONG)('a file of another size than the hub lists is refused by name', async () => {
    const server = await hub(files, {
      first: open,
      content: (path, content) => (path === 'config.json' ? content.subarray(0, 100) : content),
    });
    const page = await choosing({ allowedErrors: /ERR_/ });
    await ask(page, server);
    await page.getByRole('alert').getByText('config.json').waitFor();
  });
});
