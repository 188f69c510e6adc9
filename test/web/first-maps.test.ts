// What the page shows first was written when it was built, by `notice sweep` in Node. The page's own worker, in the browser,
// must measure the same.

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type * as Comlink from 'comlink';
import { expect, test } from 'vitest';
import { METRICS } from '../../src/patching/index.ts';
import { FIRST_PAIR } from '../../src/web/first-pair.ts';
import type { FirstPage } from '../../src/web/protocol/first.ts';
import type { SweepEvent } from '../../src/web/protocol/patching.ts';
import type { PairInfo } from '../../src/web/protocol/session.ts';
import type { Engine } from '../../src/web/protocol.ts';
import { explorerFolder, openPage } from './support.ts';

/** Both adapters compute in f32; sums are in another order where one has subgroups. Logit differences are up to 18. */
const TOLERANCE = 1e-4;

interface Live {
  readonly pair: Pick<PairInfo, 'clean' | 'corrupt' | 'correct' | 'incorrect'>;
  readonly events: readonly { corruption: string; site: number; indices: number[]; numbers: number[] }[];
}

test('the first maps, and the answers beside them, are what the page measures itself', async () => {
  const folder = await explorerFolder();
  const first = JSON.parse(readFileSync(join(folder, 'first.json'), 'utf8')) as FirstPage;
  const worker = readdirSync(join(folder, 'assets')).find((file) => /^worker-.*\.js$/.test(file));
  const page = await openPage();
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('comlink'), 'utf8'));
  const sites = first.maps
    .filter(({ corruption }) => corruption === 'image')
    .map(({ site, positions }) => ({
      site,
      positions,
      heads: site === first.model.headSite && positions.length === 1,
    }));
  const live = await page.evaluate(
    async ({ script, model, spec, swept }): Promise<Live> => {
      const { wrap, proxy } = (globalThis as unknown as { Comlink: typeof Comlink }).Comlink;
      const started = new Worker(new URL(`assets/${script}`, location.href), { type: 'module' });
      const engine = wrap<Engine>(started) as unknown as Engine;
      let id = 0;
      const run: Engine['run'] = (_, name, args, onEvent) => engine.run(++id, name, args, proxy(onEvent));
      const opened = await run(0, 'open', { model }, () => {});
      if (!opened.ok) throw new Error(opened.problem.message);
      const asked = await run(0, 'pair', spec, () => {});
      if (!asked.ok) throw new Error(asked.problem.message);
      const events: Live['events'][number][] = [];
      const done = await run(
        0,
        'sweep',
        { corruptions: ['image', 'text'], sites: swept },
        (event: SweepEvent) => {
          if (event.kind !== 'cells') return;
          const { corruption, site, indices, numbers } = event;
          events.push({ corruption, site, indices: [...indices], numbers: [...numbers] });
        },
      );
      if (!done.ok) throw new Error(done.problem.message);
      started.terminate();
      const { clean, corrupt, correct, incorrect } = asked.value;
      return { pair: { clean, corrupt, correct, incorrect }, events };
    },
    { script: worker, model: first.model.choice, spec: FIRST_PAIR, swept: sites },
  );

  const { clean, corrupt, correct, incorrect } = first.pair;
  expect(live.pair).toMatchObject({ correct, incorrect });
  for (const [known, measured] of [
    [clean, live.pair.clean],
    [corrupt.image, live.pair.corrupt.image],
    [corrupt.text, live.pair.corrupt.text],
  ] as const) {
    expect(measured?.answer).toBe(known?.answer);
    expect(Math.abs((measured?.logitDifference ?? 0) - (known?.logitDifference ?? 99))).toBeLessThan(
      TOLERANCE,
    );
  }

  let cells = 0;
  let largest = 0;
  for (const { corruption, site, indices, numbers } of live.events) {
    const map = first.maps.filter((one) => one.corruption === corruption)[site];
    expect(map?.site).toBe(sites[site]?.site);
    indices.forEach((index, cell) => {
      for (let n = 0; n < METRICS.length; n++) {
        const measured = numbers[METRICS.length * cell + n] as number;
        const known = map?.data[METRICS.length * index + n] ?? Number.NaN;
        const difference = Math.abs(measured - known) / Math.max(1, Math.abs(known));
        if (!(difference <= TOLERANCE) && !(Number.isNaN(known) && Number.isNaN(measured)))
          expect.fail(
            `${corruption} ${map?.site} cell ${index} ${METRICS[n]}: ${measured}, written was ${known}`,
          );
        largest = Math.max(largest, Math.abs(known));
      }
      cells++;
    });
  }
  // Every cell of both corruptions, and maps that are not empty.
  expect(cells).toBe(first.maps.reduce((sum, { data }) => sum + data.length / METRICS.length, 0));
  expect(largest).toBeGreaterThan(1);
});
