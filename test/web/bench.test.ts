// The bench in the page prints what `notice bench` prints.
import { expect, test } from 'vitest';
import { LONG } from '../support/long.ts';
import { openPage } from './support.ts';

// About a minute on a software adapter.
test.runIf(LONG)('measures kernels and the forward pass, and copies them as text', async () => {
  const page = await openPage({ permissions: ['clipboard-read', 'clipboard-write'] });
  await page.getByRole('tab', { name: 'This device' }).click();
  await page.getByRole('button', { name: 'Measure' }).click();
  await page.getByRole('rowheader', { name: /blip-shapes, whole model/ }).waitFor({ timeout: 300_000 });
  await page.getByRole('button', { name: 'Copy as text' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  const text = await page.evaluate(() => navigator.clipboard.readText());
  expect(text).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d · .+, subgroups of /);
  expect(text).toMatch(/limits: .*maxStorageBufferBindingSize \d+/);
  expect(
    text.match(/^(matmul|attention|layer norm) .* ms +[\d.]+ G(FLOP|B)\/s +\d+ % of peak$/gm),
  ).toHaveLength(16);
  expect(text).toMatch(/^blip-shapes, vision tower: [\d.]+ s, [\d.]+ GFLOP\/s, \d+ dispatches$/m);
});
