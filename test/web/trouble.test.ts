// What the explorer says when it cannot work, and that it goes on.
import { expect, test } from 'vitest';
import { LONG } from '../support/long.ts';
import { openPage } from './support.ts';

test('a browser without WebGPU: one sentence with the cure, and a page that is still there', async () => {
  const page = await openPage({ webgpu: false });
  const alert = page.getByRole('alert');
  await alert.waitFor();
  expect(await alert.textContent()).toMatch(/^This browser has no WebGPU.*chrome:\/\//);
  // What the build knew is there all the same.
  await page.getByRole('row', { name: 'clean heart' }).waitFor();
  await page.getByRole('tab', { name: 'Logit lens' }).click();
  await page.getByRole('button', { name: 'Close the message' }).click();
  expect(await alert.count()).toBe(0);
});

test.runIf(LONG)('a lost device: it says so, and opens the model again on a new one', async () => {
  const page = await openPage();
  const answers = page.getByRole('table', { name: 'Answers of the runs' });
  await page.getByRole('region', { name: 'Model', exact: true }).getByText(/^on /).waitFor();
  const session = await page.context().browser()?.newBrowserCDPSession();
  await session?.send('Browser.crashGpuProcess').catch(() => {});
  await page.getByRole('button', { name: 'Next pair' }).click();
  await page
    .getByRole('alert')
    .getByText(/device.*lost|lost.*device/i)
    .waitFor();
  await page.getByRole('button', { name: 'Open again' }).click();
  await answers.getByRole('row', { name: /^clean \w/ }).waitFor();
  expect(await page.getByRole('alert').count()).toBe(0);
});
