// What is copied out of the page runs in Node and prints what the page shows.
import { expect, test } from 'vitest';
import { numbersOf, runProgram, usePackageFolder } from './program.ts';
import { openPage } from './support.ts';

/** Chromium's build of the software adapter and Node's: sums in other orders. */
const ADAPTERS = 1e-4;

const folder = usePackageFolder();

test('a copied program prints the numbers that are shown', async () => {
  const page = await openPage({ permissions: ['clipboard-read', 'clipboard-write'] });
  const heads = page.getByRole('grid', { name: /by head/ }).first();
  await heads.getByRole('gridcell').nth(9).click();
  const patched = page.getByRole('region', { name: 'Patch' });
  await patched.getByText(/% restored/).waitFor();
  await page.getByRole('button', { name: 'Copy as code' }).click();
  await page.getByRole('button', { name: 'Copied' }).waitFor();
  const program = await page.evaluate(() => navigator.clipboard.readText());
  const shown = program
    .split('\n')
    .filter((line) => line.startsWith('//'))
    .flatMap(numbersOf);
  expect(shown.map(([run]) => run)).toEqual(['clean', 'corrupt', 'patched']);
  const { runs } = await runProgram(folder.path, program);
  for (const [run, numbers] of shown)
    numbers.forEach((value, i) => {
      expect(Math.abs((runs.get(`scenes/002 ${run}`)?.[i] ?? Number.NaN) - value)).toBeLessThan(ADAPTERS);
    });
});
