// The explorer as it opens: wherever it is served, on a desktop and on a phone, light and dark, readable by machines.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { expect, test } from 'vitest';
import { LONG, long } from '../support/long.ts';
import { openPage } from './support.ts';

const pairPanel = (page: Page) => page.getByRole('region', { name: 'Pair', exact: true });
const answers = (page: Page) => pairPanel(page).getByRole('table', { name: 'Answers of the runs' });

/** Waits until the model itself has answered: until then the page shows what was known when it was built. */
async function whenLive(page: Page): Promise<void> {
  await page.getByRole('region', { name: 'Model', exact: true }).getByText(/^on /).waitFor();
  await page.waitForFunction(() => document.querySelector('[role=status]')?.textContent === '');
}

/** Rules of WCAG 2 A and AA and best practices. @returns what axe finds wrong, and where */
async function violations(page: Page): Promise<string[]> {
  // As the browser's tools would, which the page's policy does not bind.
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  return page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<AxeResult> } };
    const { violations: found } = await axe.run();
    return found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
  });
}

/** How far the page's parts have moved by themselves (Cumulative Layout Shift: shares of the window, times how far). */
function shift(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        new PerformanceObserver((list) => {
          const shifts = list.getEntries() as (PerformanceEntry & { value: number })[];
          resolve(shifts.reduce((sum, { value }) => sum + value, 0));
        }).observe({ type: 'layout-shift', buffered: true });
        setTimeout(() => resolve(0), 200);
      }),
  );
}

/** A tenth of what web.dev calls good. */
const STILL = 0.01;

interface AxeResult {
  readonly violations: readonly {
    readonly id: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

test('opens below a path with what the build knew, then with the model itself', async () => {
  const page = await openPage({ base: '/notice/' });
  await answers(page).getByRole('row', { name: 'clean heart' }).waitFor();
  await answers(page).getByRole('row', { name: 'corrupt image ring' }).waitFor();
  await page
    .getByRole('grid', { name: /cross_attn\.hook_z by head/ })
    .first()
    .waitFor();
  await whenLive(page);
  await answers(page).getByRole('row', { name: 'clean heart' }).waitFor();
});

test.runIf(LONG)('another pair, noise on its embeddings, a region painted over', async () => {
  const page = await openPage();
  await whenLive(page);
  const panel = pairPanel(page);
  await panel.getByRole('button', { name: 'Next pair' }).click();
  await whenLive(page);
  await panel.getByRole('combobox', { name: 'Data' }).selectOption('states');
  await answers(page).getByRole('row', { name: 'clean orange' }).waitFor();
  await panel.getByRole('radio', { name: 'noise' }).check();
  await panel.getByText('noise of 3 σ').waitFor();
  await panel.getByRole('radio', { name: 'painted over' }).check();
  await panel.getByRole('button', { name: 'Add a box' }).click();
  await panel.getByRole('img', { name: 'what the corrupt run sees' }).waitFor();
  await panel.getByRole('radio', { name: 'no picture' }).check();
  await panel.getByText('the text sees no picture').waitFor();
  await panel.getByRole('radio', { name: 'another picture' }).check();
  await answers(page).getByRole('row', { name: 'corrupt image green' }).waitFor();
});

const VIEWS = [
  ['phone, dark', { viewport: { width: 390, height: 844 }, colorScheme: 'dark' }],
  ['desktop, light', { viewport: { width: 1280, height: 900 }, colorScheme: 'light' }],
] as const;

test.each(VIEWS.slice(0, long(1, VIEWS.length)))(
  '%s: axe finds nothing, nothing is wider than the page, nothing moves',
  async (_, view) => {
    const page = await openPage(view);
    await whenLive(page);
    expect(await shift(page)).toBeLessThan(STILL);
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click();
      await whenLive(page);
      await page.evaluate(() => {
        for (const details of document.querySelectorAll('details')) details.open = true;
      });
      const name = (await tab.textContent()) ?? '';
      expect(await violations(page), name).toEqual([]);
      const width = await page.evaluate(() => document.documentElement.scrollWidth);
      expect(width, name).toBeLessThanOrEqual(view.viewport.width);
      if (!LONG) break;
    }
  },
);

test.runIf(LONG)('only the pairs that the model answers as an experiment needs it', async () => {
  const page = await openPage();
  await whenLive(page);
  const panel = pairPanel(page);
  const pairs = panel.getByRole('combobox', { name: 'Pair' }).getByRole('option');
  const all = await pairs.count();
  await panel.getByRole('checkbox', { name: 'only pairs' }).check();
  await panel.getByText(`of ${all} asked`).waitFor();
  await panel.getByText(`of ${all} asked`).waitFor({ state: 'hidden' });
  const usable = await pairs.count();
  // The miniature answers most of them, not all, with one option and then with the other.
  expect(usable).toBeGreaterThan(all / 2);
  expect(usable).toBeLessThan(all);
});

test.runIf(LONG)(
  'pictures and a question of one’s own, with words that do not line up in the corrupt text',
  async () => {
    const page = await openPage();
    await whenLive(page);
    const panel = pairPanel(page);
    await panel.getByText('Your own pictures and question').click();
    await panel.getByLabel('Clean picture').setInputFiles('data/states/000_clean.png');
    await panel.getByLabel('Corrupt picture').setInputFiles('data/states/000_corrupt.png');
    await panel.getByLabel('Question').fill('is the circle orange or green?');
    await panel.getByLabel('Correct option', { exact: true }).fill('orange');
    await panel.getByLabel('Incorrect option').fill('green');
    await panel.getByRole('button', { name: 'Swap the two options' }).click();
    await panel.getByText('is the circle green or orange?').waitFor();
    await panel.getByLabel('for “green”').fill('orange with white stripes');
    await panel.getByRole('button', { name: 'Ask the model' }).click();
    await answers(page).getByRole('row', { name: 'clean orange' }).waitFor();
    await answers(page).getByRole('row', { name: 'corrupt image green' }).waitFor();
    await panel.getByText(/^No corrupt text: .*tokens/).waitFor();
  },
);
