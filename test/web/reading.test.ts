// Attention, lens, answers and files of the page, against the library in Node.
import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';
import { parquetReadObjects } from 'hyparquet';
import type { Download, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadModel, Processor, type Sample, type VisionLanguageModel } from '../../src/models/index.ts';
import { attentionMapOf, attentionToImage, logitLens, scoreAnswer } from '../../src/patching/index.ts';
import { nodeFolder, readImage } from '../../src/platform/node/index.ts';
import { FIRST_PAIR } from '../../src/web/first-pair.ts';
import { ROOT } from '../cli/support.ts';
import { testGpu } from '../support/gpu.ts';
import { openPage } from './support.ts';

/** The page shows three digits. */
const SHOWN = 5e-4 + 1e-6;
/** Two builds of one software adapter: sums in other orders. */
const ADAPTERS = 1e-4;

let model: VisionLanguageModel;
let processor: Processor;
let clean: Sample;
beforeAll(async () => {
  const source = nodeFolder(`${ROOT}weights/blip-shapes`);
  model = await loadModel(await testGpu(), source);
  processor = await Processor.load(model, source);
  clean = processor.sample(await readImage(`${ROOT}data/scenes/002_clean.png`), FIRST_PAIR.question);
});
afterAll(() => model.destroy());

async function save(page: Page, kind: string): Promise<Buffer> {
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page
      .getByRole('group', { name: /^Save / })
      .first()
      .getByRole('button', { name: kind })
      .click(),
  ]);
  return readFile(await (download as Download).path());
}

test('attention: the map and its numbers are those of the library, and come back from files', async () => {
  const page = await openPage();
  await page.getByRole('tab', { name: 'Attention' }).click();
  const panel = page.getByRole('region', { name: 'Attention' });
  await panel.getByRole('list', { name: 'Heads' }).waitFor();
  await panel.getByLabel('Layer').selectOption('2');
  await panel.getByRole('button', { name: 'L2.H1' }).click();

  const from = processor.prompt(FIRST_PAIR.question).encoded.tokens.indexOf('heart');
  const attention = await attentionToImage(model, clean, { from });
  const { entropy, imageMass, grids } = attentionMapOf(attention, { head: { layer: 2, head: 1 } });
  const shown = async (name: string) =>
    Number(await panel.locator('dt', { hasText: name }).locator('+ dd').textContent());
  expect(Math.abs((await shown('entropy')) - entropy)).toBeLessThan(SHOWN);
  expect(Math.abs((await shown('on the image')) - imageMass)).toBeLessThan(SHOWN);

  const data = grids[0]?.data ?? new Float32Array();
  const ofHead = ({ layer, head }: Record<string, unknown>) => Number(layer) === 2 && Number(head) === 1;
  const csv = parse(await save(page, 'CSV'), { columns: true, bom: true }) as Record<string, string>[];
  const bytes = await save(page, 'Parquet');
  const file = new Uint8Array(bytes).buffer;
  for (const rows of [csv, await parquetReadObjects({ file })]) {
    const values = rows.filter(ofHead).map(({ value }) => Number(value));
    expect(values).toHaveLength(64);
    values.forEach((value, patch) => {
      expect(Math.abs(value - (data[patch] as number))).toBeLessThan(ADAPTERS);
    });
  }
  const svg = (await save(page, 'SVG')).toString();
  expect(svg.match(/<rect /g)).toHaveLength(64);
  expect(svg).toMatch(/<image [^>]*href="data:image\/png;base64,/);
  const { format, width = 0, height } = await sharp(await save(page, 'PNG')).metadata();
  expect({ format, square: width === height }).toEqual({ format: 'png', square: true });
  expect(width).toBeGreaterThan(200);
});

test('attention: a box is drawn, a patch of the vision tower is looked from, all by keyboard', async () => {
  const page = await openPage();
  await page.getByRole('tab', { name: 'Attention' }).click();
  const panel = page.getByRole('region', { name: 'Attention' });
  await panel.getByRole('list', { name: 'Heads' }).waitFor();
  for (const [side, pixel] of [
    ['right', 32],
    ['bottom', 16],
  ] as const)
    await panel.getByLabel(side).fill(String(pixel));
  const box = panel.locator('dt', { hasText: 'in the box' }).locator('+ dd');
  // Half of the picture's width, a quarter of its height.
  await expect.poll(() => box.textContent()).toMatch(/^0\.\d{3} \(its area: 0\.125\)$/);
  await panel.getByLabel('Site').selectOption('vision.attn');
  await panel.getByText('Click a patch').waitFor();
  const patches = panel.getByRole('application');
  await expect.poll(() => patches.getAttribute('aria-label')).toMatch(/vision\.attn.*Enter chooses/);
  await patches.focus();
  for (const key of ['ArrowDown', 'ArrowRight', 'Enter']) await patches.press(key);
  await panel.getByText('Seen from the outlined patch').waitFor();
});

test('lens and answers say what the library says', async () => {
  const page = await openPage();
  await page.getByRole('tab', { name: 'Logit lens' }).click();
  const [lens] = await logitLens(model, [clean], { topK: 1 });
  const cells = page.getByRole('grid', { name: /Logit lens/ }).getByRole('gridcell');
  await cells.first().waitFor();
  expect(await cells.count()).toBe(4);
  for (let layer = 0; layer < 4; layer++) {
    const label = (await cells.nth(layer).getAttribute('aria-label')) ?? '';
    const token = processor.tokenizer.idToToken(lens?.ids[layer] as number);
    const [, text, p] = /, (\S+) (\d\.\d+),/.exec(label) ?? [];
    expect(text, label).toBe(token);
    expect(Math.abs(Number(p) - (lens?.probabilities[layer] as number))).toBeLessThan(SHOWN);
  }
  // A tower without a head has no lens and says so.
  await page.getByLabel('Tower').selectOption('text_encoder');
  await page.getByText(/has no head/).waitFor();

  await page.getByRole('tab', { name: 'Answers' }).click();
  await page.getByRole('button', { name: 'Answer', exact: true }).click();
  const rows = page.getByRole('region', { name: 'Longer answers' }).getByRole('row');
  await expect.poll(() => rows.count()).toBe(3);
  const corrupt = processor.sample(
    await readImage(`${ROOT}data/scenes/002_corrupt.png`),
    FIRST_PAIR.question,
  );
  const [answer] = await model.generate([corrupt]);
  const { sum } = await scoreAnswer(model, corrupt, answer?.ids ?? []);
  const shown = (await rows.nth(2).getByRole('cell').first().textContent()) ?? '';
  expect(Math.abs(Number(shown.replace('−', '-')) - sum)).toBeLessThan(SHOWN);
});
