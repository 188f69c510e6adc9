// Patches pinned in the page by click, drag and keyboard, against what the library gives in Node for the same patch.

import type { Page } from 'playwright-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { answerTokenIds, optionTokens } from '../../src/inputs/index.ts';
import { loadModel, Processor, patchGrids, type VisionLanguageModel } from '../../src/models/index.ts';
import { readManifest } from '../../src/notice/datasets/index.ts';
import {
  cutEdges,
  type Intervention,
  type PatchPair,
  replace,
  runWithHooks,
  scale,
  zero,
} from '../../src/patching/index.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { readImage } from '../../src/platform/node/images.ts';
import { testGpu } from '../support/gpu.ts';
import { LONG } from '../support/long.ts';
import { openPage } from './support.ts';

/** Both compute in f32 with the same kernels; the page shows four digits behind the point. */
const SHOWN = 1e-4;

let model: VisionLanguageModel;
let processor: Processor;
let pair: PatchPair;
beforeAll(async () => {
  const folder = await nodeFolder('weights/blip-shapes');
  model = await loadModel(await testGpu(), folder);
  processor = await Processor.load(model, folder);
  pair = await pairOf('scenes/002', 'is the triangle inside the heart or ring?', 'heart', 'ring');
});

/** An embedded pair with the corrupt image. */
async function pairOf(id: string, question: string, correct: string, incorrect: string): Promise<PatchPair> {
  const sample = async (run: string) => {
    const path = `data/${id}_${run}.png`;
    return processor.sample(await readImage(path), question, path);
  };
  const after = processor.answerContext;
  const ids = answerTokenIds(processor.tokenizer, { correct, incorrect }, { after });
  return {
    clean: await sample('clean'),
    corrupt: await sample('corrupt'),
    correct: ids[0],
    incorrect: ids[1],
  };
}

/** What the library gives: the logit difference of a pair's corrupt run with interventions. */
async function expected(...interventions: Intervention[]): Promise<number> {
  return differenceOf(pair, interventions);
}

async function differenceOf(of: PatchPair, interventions: Intervention[]): Promise<number> {
  const [, patched] = await runWithHooks(model, [of.clean, of.corrupt], { interventions });
  return (patched?.[of.correct] as number) - (patched?.[of.incorrect] as number);
}

const clean = { run: 0 };
/** The correct option, `heart`. */
const ANSWER = 7;
const z = (layer: number) => `text_encoder.blocks.${layer}.cross_attn.hook_z`;
const head = (layer: number, ...heads: number[]) =>
  replace({ hook: z(layer), run: 1, positions: [ANSWER], heads }, clean);

const run = (page: Page) => page.getByRole('region', { name: 'Patched run' });
const heads = (page: Page) =>
  page.getByRole('grid', { name: /cross_attn\.hook_z by head, at heart, corrupt image/ });
const cell = (page: Page, name: string) => heads(page).getByRole('gridcell', { name });

/** Waits until the page shows a logit difference of the patched run. */
async function expectShown(page: Page, value: number): Promise<void> {
  const shown = async () => {
    const cells = await run(page)
      .getByRole('row', { name: /logit difference/ })
      .getByRole('cell')
      .allTextContents();
    return Number(cells[1]?.replace('−', '-').replace('+', ''));
  };
  await expect.poll(shown, { timeout: 20_000, interval: 50 }).toBeCloseTo(value, 4);
  expect(Math.abs((await shown()) - value)).toBeLessThanOrEqual(SHOWN);
}

async function dragged(page: Page, from: ReturnType<Page['locator']>, to: ReturnType<Page['locator']>) {
  await from.hover();
  await page.mouse.down();
  await to.hover();
  await page.mouse.up();
}

async function opened(hash?: string): Promise<Page> {
  const page = await openPage({ hash });
  await heads(page).waitFor();
  // Nothing is answered before the model is there.
  await page.getByRole('button', { name: 'Sweep' }).waitFor();
  return page;
}

describe('what is pinned', () => {
  test('by click, by drag and by keyboard acts together, and is undone', async () => {
    const page = await opened();
    await cell(page, 'layer 0, head 0,').click();
    await expectShown(page, await expected(head(0, 0)));

    await dragged(page, cell(page, 'layer 2, head 0,'), run(page));
    const both = await expected(head(0, 0), head(2, 0));
    await expectShown(page, both);

    await cell(page, 'layer 2, head 0,').focus();
    for (const key of ['ArrowDown', 'ArrowRight', 'ArrowRight', 'Enter']) await page.keyboard.press(key);
    await expectShown(page, await expected(head(0, 0), head(2, 0), head(3, 2)));
    expect(await cell(page, 'layer 3, head 2,').getAttribute('aria-selected')).toBe('true');

    await page.getByRole('button', { name: 'Undo' }).click();
    await expectShown(page, both);
    await page.keyboard.press('Control+Shift+z');
    await expectShown(page, await expected(head(0, 0), head(2, 0), head(3, 2)));
    await page.getByRole('button', { name: 'Clear' }).click();
    await expect.poll(() => run(page).textContent()).toContain('Nothing is pinned');
  });

  test('over a region is one item, with an operation and an amount, and can be switched off', async () => {
    const page = await opened();
    await dragged(page, cell(page, 'layer 1, head 1,'), cell(page, 'layer 2, head 2,'));
    await expectShown(page, await expected(head(1, 1, 2), head(2, 1, 2)));
    const pinned = page.getByRole('list', { name: 'Pinned' }).getByRole('listitem');
    expect(await pinned.count()).toBe(1);

    await pinned.getByRole('combobox').selectOption('scale');
    const slider = pinned.getByRole('slider');
    await slider.fill('-1.5');
    const target = (layer: number) => ({ hook: z(layer), run: 1, positions: [ANSWER], heads: [1, 2] });
    await expectShown(page, await expected(scale(target(1), -1.5), scale(target(2), -1.5)));

    await pinned.getByRole('checkbox').uncheck();
    await expect.poll(() => run(page).textContent()).toContain('Nothing is pinned');

    await page.getByText('Cut attention').click();
    await page.locator('.cut').getByRole('combobox').selectOption('text_encoder.attn');
    const token = (part: string, name: string) =>
      page.getByRole('group', { name: part }).getByRole('button', { name, exact: true });
    for (const name of ['tri', '##angle', 'heart', 'ring']) await token('From', name).click();
    await token('To', '[CLS]').click();
    await page.getByRole('textbox', { name: 'Layers' }).fill('1-3');
    await page.getByRole('button', { name: 'Cut', exact: true }).click();
    const edges = { from: [3, 4, ANSWER, 9], to: [0], layers: [1, 2, 3], attention: 'text_encoder.attn' };
    await expectShown(page, await expected(...cutEdges(model, pair.corrupt, { ...edges, run: 1 })));
  });
});

test('a link opens another pair with what is pinned and how it is shown', async () => {
  const page = await opened();
  await cell(page, 'layer 3, head 0,').click();
  await page.getByLabel('Numbers').selectOption('p_effect');
  const address = () => decodeURIComponent(new URL(page.url()).hash);
  await expect.poll(address, { timeout: 20_000 }).toContain('"heads":[0]');
  const hash = new URL(page.url()).hash.replace('scenes/002', 'scenes/004');
  const other = await openPage({ hash });
  await expect.poll(() => run(other).textContent(), { timeout: 20_000 }).toContain('LD′ − LD*');
  expect(await run(other).textContent()).toContain('P(above)');
  expect(await other.getByRole('list', { name: 'Pinned' }).textContent()).toContain('layer 3, head 0');
  expect(await other.getByLabel('Numbers').inputValue()).toBe('p_effect');
  expect(new URL(other.url()).hash).toBe(hash);
});

test('a sweep fills the maps and can be cancelled', async () => {
  const page = await opened();
  await page.getByRole('button', { name: 'Sweep' }).click();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByRole('button', { name: 'Sweep' }).waitFor();
  const unknown = page.getByRole('gridcell', { name: /unknown/ });
  expect(await unknown.count()).toBeGreaterThan(0);
  expect(await page.getByRole('alert').count()).toBe(0);

  await page.getByRole('button', { name: 'Sweep' }).click();
  await page.getByRole('button', { name: 'Stop' }).waitFor();
  await page.getByRole('button', { name: 'Sweep' }).waitFor();
  expect(await unknown.count()).toBe(0);
});

test.runIf(LONG)('what is pinned is applied to other pairs, at the token of the same part', async () => {
  const page = await opened();
  await cell(page, 'layer 0, head 0,').click();
  await page.getByRole('tab', { name: 'On n pairs' }).click();
  await page.getByRole('spinbutton', { name: 'Number of pairs' }).fill('3');
  await page.getByRole('button', { name: 'Apply' }).click();
  const mean = page.getByText(/^Mean .* n = 3$/);
  await mean.waitFor();
  await page.getByText('Every pair’s numbers').click();
  const shown = await page
    .locator('.pairs-table tbody tr')
    .evaluateAll((rows) =>
      rows.map((row) => [...row.children].map(({ textContent }) => textContent.replace('−', '-'))),
    );
  const { pairs } = await readManifest('data/scenes.csv');
  const effects: number[] = [];
  for (const [id, ldEffect] of shown) {
    const found = pairs.find((one) => one.cleanImage.endsWith(`${id}_clean.png`));
    if (!found) throw new Error(`no pair ${id}`);
    const { cleanPrompt, correct, incorrect } = found;
    const runs = await pairOf(id as string, cleanPrompt, correct, incorrect);
    const { start, end } = optionTokens(processor.encode(cleanPrompt), found).correct;
    const positions = Array.from({ length: end - start }, (_, i) => start + i);
    const patch = replace({ hook: z(0), run: 1, positions, heads: [0] }, clean);
    const effect = (await differenceOf(runs, [patch])) - (await differenceOf(runs, []));
    // Three digits behind the point.
    expect(Math.abs(Number(ldEffect) - effect)).toBeLessThanOrEqual(5e-4 + SHOWN);
    effects.push(effect);
  }
  expect(effects).toHaveLength(3);
  const average = effects.reduce((sum, effect) => sum + effect, 0) / 3;
  const text = (await mean.textContent())?.replaceAll('−', '-') ?? '';
  expect(Math.abs(Number(/^Mean ([-+.\d]+),/.exec(text)?.[1]) - average)).toBeLessThanOrEqual(5e-4 + SHOWN);
});

test.runIf(LONG)('patches are painted with the brush, and put to zero', async () => {
  const page = await opened();
  await page.getByText('Image patches (0 painted)').click();
  const brush = page.getByRole('application', { name: /Brush/ });
  const area = await brush.boundingBox();
  if (!area) throw new Error('the brush is not shown');
  const [grid] = patchGrids(model, pair.corrupt);
  const { rows = 1, columns = 1, keys = [] } = grid ?? {};
  const place = (row: number, column: number) =>
    [area.x + ((column + 0.5) / columns) * area.width, area.y + ((row + 0.5) / rows) * area.height] as const;
  await page.mouse.move(...place(2, 3));
  await page.mouse.down();
  await page.mouse.move(...place(2, 4));
  await page.mouse.move(...place(3, 4));
  await page.mouse.up();
  await page.getByText('Image patches (3 painted)').waitFor();
  await page.getByRole('button', { name: 'Zero' }).click();
  const positions = [
    [2, 3],
    [2, 4],
    [3, 4],
  ].map(([row = 0, column = 0]) => keys[row * columns + column] as number);
  await expectShown(page, await expected(zero({ hook: 'vision.hook_out', run: 1, positions })));
});
