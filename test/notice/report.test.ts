// The report in a browser: it works from disk, without script and with, on a phone, in the dark, on paper. Its numbers are
// tested where there are runs; these are made up.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CellRow, Corruption } from '../../src/analysis/cell.ts';
import { type Analysis, analyseCells } from '../../src/notice/experiment/analyse.ts';
import { drawFigures } from '../../src/notice/experiment/figures.ts';
import type { RunRecord } from '../../src/notice/experiment/results.ts';
import type { ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { repeatArguments, repeatCommand } from '../../src/notice/report/command.ts';
import { withLinks } from '../../src/notice/report/explorer.ts';
import { reportHtml } from '../../src/notice/report/report.ts';
import { readLink } from '../../src/web/state/link.ts';
import { cell } from '../analysis/support.ts';
import { launchOptions, setup } from '../support/browser.ts';

const require = createRequire(import.meta.url);
const TASKS = ['scenes', 'states'];
const CATEGORIES = ['subject', 'relation', 'object'];
const CORRUPTIONS: Corruption[] = ['sip', 'str'];
const ROLES = ['start', 'correct', 'or', 'incorrect', 'end'];
const MODULES = 'text_encoder.hook_mlp_out';
const HEADS = 'text_encoder.cross_attn.hook_z';

/** Of a module at role r in layer l, of a head h in layer l: 0.1 for each step, more under STR. */
const effect = (corruption: Corruption, a: number, layer: number) =>
  0.1 * (1 + a + 2 * layer) * (corruption === 'str' ? 2 : 1);

const cells: CellRow[] = TASKS.flatMap((task) =>
  CORRUPTIONS.flatMap((corruption) =>
    Array.from({ length: 6 }, (_, s) => {
      const modality = corruption === 'str' ? ('text' as const) : ('image' as const);
      const of = { sample: `${task}-${s}`, task, category: CATEGORIES[s % 3]!, corruption, modality };
      const values = (size: number) => ({ ld_effect: size, p_effect: size / 10, p_patched: size / 10 });
      return [0, 1, 2].flatMap((layer) => [
        ...ROLES.map((role, r) =>
          cell({
            ...of,
            layer,
            role,
            token: role,
            position: r,
            site: MODULES,
            ...values(effect(corruption, r, layer)),
          }),
        ),
        ...[0, 1, 2, 3].map((head) =>
          cell({
            ...of,
            layer,
            head,
            site: HEADS,
            ...values(head === 2 && layer === 1 ? 5 : effect(corruption, head, layer)),
          }),
        ),
      ]);
    }).flat(),
  ),
);

const settings: ExperimentSettings = {
  ...{ model: 'models/made-up', data: TASKS.map((task) => `data/${task}.csv`), samples: 6, select: 'first' },
  ...{ corruptions: CORRUPTIONS, moduleSites: [MODULES], headSite: HEADS, statistic: 'absolute' },
  ...{ compat: [], seed: 0, noiseDraws: 1, noiseScale: 3, template: undefined },
};

async function madeUp(): Promise<Analysis> {
  const record: RunRecord = {
    settings,
    version: 'test',
    model: { family: 'blip', answers: 'decoder', weightBytes: 1, towers: [] },
    adapter: 'none',
    started: '2026-01-01T00:00:00Z',
    finished: '2026-01-01T00:01:00Z',
    seconds: 60,
    tasks: TASKS.map((task) => ({
      task,
      pairs: 8,
      asked: 6,
      correct: 6,
      selected: Array.from({ length: 6 }, (_, s) => `${task}-${s}`),
      unusable: [
        { source: '7', reason: 'too-long', detail: 'the prompt has 600 tokens, the model reads 512' },
      ],
      withoutText: {},
    })),
  };
  const controls = [
    { sample: 'scenes-0', corruption: 'sip' as const, nullPatches: 2, noiseFloor: 1e-6, noiseFloorP: 1e-8 },
  ];
  const share = { correct: 5, accuracy: 5 / 6, low: 0.4, high: 0.97 };
  return {
    ...(await analyseCells(cells, controls, settings)),
    record,
    accuracy: TASKS.flatMap((task) =>
      ['all', ...CATEGORIES].map((category) => ({
        task,
        category,
        n: 6,
        ...share,
        firstLetter: share,
        flipped: 0.5,
      })),
    ),
    attentionPosition: 'answer',
    attention: new Map(),
    functions: new Map(),
    pairs: new Map(),
    prompts: new Map([
      [
        'scenes',
        ROLES.map((role, position) => ({ position: role === 'end' ? 9 : position, role, text: role })),
      ],
    ]),
  };
}

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

test('its command survives a shell', async () => {
  const { record } = await madeUp();
  const odd = { ...settings, model: "it's a model", template: 'Q: {question} $HOME "A"' };
  expect(repeatCommand({ ...record, settings: odd })).toContain("--model 'it'\\''s a model' --data");
  const printed = repeatCommand({ ...record, settings: odd }).replace(/^notice run/, "printf '%s\\n'");
  const { stdout } = await promisify(execFile)('sh', ['-c', printed]);
  expect(stdout.trimEnd().split('\n')).toEqual(repeatArguments({ ...record, settings: odd }));
});

test('maps lead to their pairs in the explorer: embedded ones by name, for others the page asks', async () => {
  const pair = (id: string, folder: string) => ({
    ...{
      id,
      category: 'x',
      cleanImage: `${folder}/${id}_clean.png`,
      corruptImage: `${folder}/${id}_corrupt.png`,
    },
    ...{ cleanPrompt: 'is it a & b?', corruptPrompt: 'is it c or d?', correct: 'a', incorrect: 'b' },
  });
  const found = await madeUp();
  const explorer = {
    url: 'https://example.org/notice/#old',
    embedded: { models: '/p/weights', data: '/p/data' },
  };
  const of = async (change: Partial<ExperimentSettings>, folder: string) => {
    const analysis: Analysis = {
      ...found,
      record: { ...found.record, settings: { ...settings, ...change } },
      pairs: new Map([['scenes', ['000', '001', '002', '003'].map((id) => pair(id, folder))]]),
    };
    const figures = withLinks(explorer, analysis, await drawFigures(analysis));
    return (name: string) =>
      figures.find((figure) => figure.name === name)?.links?.map(({ href }) => href) ?? [];
  };
  const embedded = await of(
    { model: '/p/weights/blip-shapes', data: ['/p/data/scenes.csv'] },
    '/p/data/scenes',
  );
  expect(embedded('modules-str')).toEqual(
    ['000', '001', '002'].map(
      (id) =>
        `https://example.org/notice/#model=blip-shapes&pair=scenes/${id}&corruption=text&metric=p_effect&tab=maps`,
    ),
  );
  expect(embedded('heads')[0]).toMatch(/pair=scenes\/000&corruption=image&metric=ld_effect&/);
  expect(embedded('accuracy')).toEqual([]);

  const commit = '0123456789abcdef0123456789abcdef01234567';
  const own = await of({ model: `owner/name@${commit}`, data: ['/home/me/scenes.csv'] }, '/home/me/pictures');
  // As the page reads them.
  const read = (href = '') => readLink(new URL(href).hash);
  expect(read(embedded('modules-sip')[0])).toEqual({
    model: { kind: 'embedded', name: 'blip-shapes' },
    ...{ pair: 'scenes/000', corruption: 'image', metric: 'p_effect', tab: 'maps', missing: [] },
  });
  expect(read(own('modules-sip')[0])).toMatchObject({
    model: { kind: 'hub', id: `owner/name@${commit}` },
    pair: {
      id: '000',
      clean: { kind: 'file', name: '000_clean.png' },
      image: { kind: 'picture', picture: { kind: 'file', name: '000_corrupt.png' } },
      ...{ question: 'is it a & b?', correct: 'a', incorrect: 'b', corruptQuestion: 'is it c or d?' },
    },
    missing: [expect.stringContaining('000_clean.png'), expect.stringContaining('000_corrupt.png')],
  });
  const folderModel = await of({ model: '/home/me/blip', dtype: 'f16' }, '/home/me');
  const { model, dtype, missing } = read(folderModel('modules-sip')[0]);
  expect([model, dtype, missing[0]]).toEqual([undefined, 'f16', expect.stringContaining('blip')]);

  const page = reportHtml({ ...found, pairs: new Map([['scenes', [pair('000', '/p/data/scenes')]]]) }, []);
  expect(page).not.toContain('In the explorer');
});
