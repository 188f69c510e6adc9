// The explorer opens with the embedded model and a pair, wherever it is served.
import { expect, test } from 'vitest';
import { openPage } from './support.ts';

test('opens with the embedded model and its answers, also below a path', async () => {
  const page = await openPage({ base: '/notice/' });
  const pair = page.getByRole('region', { name: 'Pair' });
  await pair.getByText('is the triangle inside the heart or ring?').waitFor();
  expect(await pair.textContent()).toContain('Clean: heart');
});
