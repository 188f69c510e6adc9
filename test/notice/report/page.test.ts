// The report in a browser: it works from disk, without script and with, on a phone, in the dark, on paper. Its numbers are
// tested where there are runs; these are made up.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { drawFigures } from '../../../src/notice/experiment/figures.ts';
import { reportHtml } from '../../../src/notice/report/report.ts';
import { launchOptions, setup } from '../../support/browser.ts';
import { madeUp, ROLES } from './support.ts';

const require = createRequire(import.meta.url);

let folder: string;
let file: string;
let browser: Browser;
beforeAll(async () => {
  await setup();
  folder = await mkdtemp(join(tmpdir(), 'notice-report-'));
  file = join(folder, 'report.html');
  const analysis = await madeUp();
  const files = { tables: ['tables/heads.csv', 'tables/modules.csv'], cells: ['cells/cells-1 #.parquet'] };
  await writeFile(file, reportHtml(analysis, await drawFigures(analysis), { files }));
  browser = await chromium.launch(launchOptions());
});
afterAll(async () => {
  await browser?.close();
  await rm(folder, { recursive: true, force: true });
});

const WIDE = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };

/** The page from disk; it must not say anything on the console. */
async function open(options: BrowserContextOptions, work: (page: Page) => Promise<void>): Promise<void> {
  const page = await browser.newPage(options);
  const said: string[] = [];
  page.on('console', (message) => said.push(message.text()));
  page.on('pageerror', (error) => said.push(String(error)));
  await page.goto(pathToFileURL(file).href);
  await work(page);
  expect(said).toEqual([]);
  await page.close();
}

test('axe finds nothing, wide and narrow, in the light and in the dark', async () => {
  const axe = await readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
  for (const options of [{ viewport: WIDE }, { viewport: PHONE, colorScheme: 'dark' as const }])
    await open(options, async (page) => {
      await page.locator('details').evaluateAll((all) => {
        for (const details of all) (details as HTMLDetailsElement).open = true;
      });
      await page.evaluate(axe);
      const violations = await page.evaluate(async () => {
        const { axe } = globalThis as unknown as { axe: typeof import('axe-core') };
        return (await axe.run()).violations.map(
          ({ id, nodes }) => `${id}: ${nodes[0]?.html} and ${nodes.length - 1} more`,
        );
      });
      expect(violations).toEqual([]);
    });
});

test('cells say their values under the pointer and to the arrow keys', () =>
  open({ viewport: WIDE }, async (page) => {
    const tip = page.locator('output.tip');
    const map = page.locator('#figure-modules-str .panel').first();
    const cells = map.locator('[data-marks="cell"] > rect');
    await cells.nth(3 + 2).hover(); // the second role, "correct", in the last layer
    expect(await tip.textContent()).toBe('correct, layer 2: 0.12'); // 0.1 · (1 + 1 + 2 · 2) · 2 logits, a tenth of it
    await map.focus();
    expect(await tip.textContent()).toBe('start, layer 0: 0.02');
    for (const key of ['ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowRight']) await page.keyboard.press(key);
    expect(await tip.textContent()).toBe('correct, layer 2: 0.12');
    await page.keyboard.press('ArrowUp');
    expect(await tip.textContent()).toBe('start, layer 2: 0.1');
    await page.keyboard.press('Escape');
    expect(await tip.isVisible()).toBe(false);

    await page
      .locator('#figure-heads .panel')
      .first()
      .locator('rect')
      .nth(4 + 2)
      .hover();
    expect(await tip.textContent()).toBe('L1.H2: 5');
  }));

test('tables are sorted by size or alphabet, by their headers', () =>
  open({ viewport: WIDE }, async (page) => {
    const table = page.locator('table', { hasText: 'Strongest heads' });
    const column = (index: number) => table.locator(`tbody tr td:nth-child(${index})`).allTextContents();
    const header = (name: string) => table.getByRole('button', { name });
    await header('mean of LD′ − LD*').click();
    const down = (await column(5)).map(Number);
    expect(down).toEqual([...down].sort((a, b) => b - a));
    expect(new Set(down).size).toBeGreaterThan(3);
    await header('mean of LD′ − LD*').click();
    expect((await column(5)).map(Number)).toEqual([...down].reverse());
    await header('head').click();
    const labels = await column(4);
    expect(labels).toEqual([...labels].sort());
    expect(await table.locator('th[aria-sort]').allTextContents()).toEqual(['head']);
  }));

test('maps show restoration probability or logit difference, without script too', () =>
  open({ viewport: WIDE, javaScriptEnabled: false }, async (page) => {
    const section = page.getByRole('region', { name: 'Patching whole modules' });
    const probability = page.locator('#figure-modules-sip');
    const logits = page.locator('#figure-modules-sip-ld_effect');
    expect([await probability.isVisible(), await logits.isVisible()]).toEqual([true, false]);
    await section.getByLabel('logit difference').check();
    expect([await probability.isVisible(), await logits.isVisible()]).toEqual([false, true]);
    // The other section has its own choice; values are there for browsers to show.
    expect(await page.locator('#figure-heads').isVisible()).toBe(true);
    expect(await logits.locator('rect > title').first().textContent()).toBe('start, layer 0: 0.1');
    await logits.getByText('The numbers').click();
    expect(await logits.getByRole('cell', { name: '0.1', exact: true }).first().isVisible()).toBe(true);
  }));

test('a phone needs no scrolling from side to side, but in what scrolls by itself', () =>
  open({ viewport: PHONE }, async (page) => {
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(PHONE.width);
    const map = await page.locator('#figure-modules-sip .panel > svg').first().boundingBox();
    expect(map?.width).toBeLessThan(PHONE.width);
    // Its text is as large as on a wide screen.
    expect(map?.width).toBe(
      Number(await page.locator('#figure-modules-sip .panel > svg').first().getAttribute('width')),
    );
    const wide = page.getByRole('group', { name: 'Exact match with 95 %' });
    expect(await wide.evaluate((box) => box.scrollWidth > box.clientWidth && box.tabIndex === 0)).toBe(true);
  }));

test('is dark where readers want it, and never on paper', () =>
  open({ viewport: WIDE, colorScheme: 'dark' }, async (page) => {
    const colors = () =>
      page.evaluate(() => {
        const of = (selector: string, name: 'fill' | 'backgroundColor') =>
          getComputedStyle(document.querySelector(selector) as Element)[name];
        const title = '#figure-modules-sip .panel [fill="#222222"]';
        return [of('body', 'backgroundColor'), of(title, 'fill'), of('[data-marks="cell"] > rect', 'fill')];
      });
    const [ground, ink, value] = await colors();
    expect([ground, ink]).toEqual(['rgb(21, 23, 27)', 'rgb(232, 232, 232)']);
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    expect(await colors()).toEqual(['rgb(255, 255, 255)', 'rgb(34, 34, 34)', value]); // a value's colour is the same
    expect(await page.getByRole('navigation').isVisible()).toBe(false);
  }));

test('ids are there once, and headers say what they head', () =>
  open({ viewport: WIDE }, async (page) => {
    const ids = await page.locator('[id]').evaluateAll((elements) => elements.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    expect(await page.locator('th:not([scope])').count()).toBe(0);
    expect(await page.locator('main').count()).toBe(1);
    for (const target of await page
      .locator('nav a')
      .evaluateAll((links) => links.map((link) => link.getAttribute('href'))))
      expect(await page.locator(target ?? '').count()).toBe(1);
  }));

test('says on top what was found, and shows it', () =>
  open({ viewport: WIDE }, async (page) => {
    const summary = page.getByRole('region', { name: 'What was found' });
    // 10 of 12 right; the last role in the last layer under STR: 0.1 · (1 + 4 + 2 · 2) · 2 logits, a tenth of it.
    expect(await summary.locator('p').first().textContent()).toBe(
      'made-up answers 83.3 % of 12 questions right and is brought back to its clean answer most by MLP of layer 2, patched at ' +
        'tokens of the role “end” (mean restoration probability P′ − P* of 0.18; scenes, STR (replaced tokens)). Heads that stand ' +
        'out in all 2 tasks, by mean + 2 standard deviations: L1.H2 under image corruption; L1.H2 under text corruption.',
    );
    expect(await summary.getByRole('img').first().getAttribute('aria-label')).toBe(
      'mean of 2 tasks · image: mean |LD′ − LD*| (logits) of 3 × 4 cells, strongest L1.H2 with 5.',
    );
  }));

test('explains roles on a prompt, in which image tokens stand where positions are missing', () =>
  open({ viewport: WIDE }, async (page) => {
    const prompt = page.locator('.prompt .token');
    expect(await prompt.locator('small').allTextContents()).toEqual([...ROLES.slice(0, 4), 'image', 'end']);
    expect(await prompt.nth(4).textContent()).toBe('5 tokensimage');
    expect(await prompt.nth(1).textContent()).toBe('correctcorrect'); // without the Ġ of its vocabulary
    expect(await page.locator('dt').filter({ hasText: 'incorrect' }).count()).toBe(1);
    expect(await page.locator('dt').filter({ hasText: 'noun' }).count()).toBe(0); // this prompt has none
  }));

test('leads to the numbers, and says how they are made again', () =>
  open({ viewport: WIDE }, async (page) => {
    const section = (name: string) => page.getByRole('region', { name });
    const hrefs = (name: string) =>
      section(name)
        .locator('a')
        .evaluateAll((links) => links.map((link) => link.getAttribute('href')));
    expect(await hrefs('Patching whole modules')).toEqual(['tables/modules.csv']);
    expect(await hrefs('Files, and how to repeat this')).toEqual([
      'tables/heads.csv',
      'tables/modules.csv',
      'cells/',
      'cells/cells-1%20%23.parquet',
    ]);
    expect(await section('Files, and how to repeat this').locator('pre').textContent()).toMatch(
      /^notice run --model models\/made-up --data data\/scenes\.csv,data\/states\.csv --out repeated --samples 6 /,
    );
  }));
