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

// As long again.
test.runIf(LONG)(
  'tries all kernels, copies a table for an issue, and takes the winners from then on',
  async () => {
    const page = await openPage({ permissions: ['clipboard-read', 'clipboard-write'] });
    await page.getByRole('tab', { name: 'This device' }).click();
    await page.getByRole('button', { name: 'Try all' }).click();
    await page.getByText(/matmul large bf16/).waitFor({ timeout: 300_000 });
    await page.getByRole('button', { name: 'Try all', disabled: false }).waitFor({ timeout: 300_000 });
    await page.getByRole('button', { name: 'Copy for an issue' }).click();
    await page.getByRole('button', { name: 'Copied' }).waitFor();
    const text = await page.evaluate(() => navigator.clipboard.readText());
    expect(text).toMatch(/^- browser: .*Chrome/m);
    expect(text.match(/^\| \S+ matmul (row|few|skinny|tall|large) (f32|f16|bf16) /gm)).toHaveLength(15);
    const kept = await page.evaluate(async () => {
      const cache = await caches.open('notice-webgpu tuning');
      const [request] = await cache.keys();
      return (await cache.match(request as Request))?.json();
    });
    const winners = text.match(/^\| \S+ matmul [^|]*(?=(\|[^|]*){3}\| +matmul_)/gm) ?? [];
    expect(Object.keys(kept)).toEqual(winners.map((row) => row.slice(2).trim()));
  },
);
