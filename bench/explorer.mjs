// How the explorer feels: how soon it shows a picture and answers a patch, and whether the page stalls while its worker sweeps.
//
//   npm run build:explorer && node bench/explorer.mjs [--rounds 5]
//
// In headless Chromium, a fresh profile in every round.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { runnerImport } from 'vite';
import { serveFolder } from '../dist/cli/static-server.js';
import { median } from './measure.mjs';

const { values: options } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } });
const folder = join(import.meta.dirname, '../dist/explorer');
/** Patches whose answers are timed in each round. */
const PATCHES = 12;

/** Bytes of the page gzipped, without models and pictures. */
function pageWeight() {
  const assets = readdirSync(join(folder, 'assets')).map((file) => `assets/${file}`);
  return ['index.html', 'first.json', 'data/pairs.json', ...assets]
    .map((file) => gzipSync(readFileSync(join(folder, file))).length)
    .reduce((sum, bytes) => sum + bytes, 0);
}

const heads = (page) => page.getByRole('grid', { name: /by head.*corrupt image/ }).first();

/** Clicks a cell. @returns ms from there until the patched run's answer is another */
async function patchTime(page, index) {
  const answered = page.evaluate(
    () =>
      new Promise((resolve) => {
        const run = document.querySelector('.patched-run tbody');
        const before = run.textContent;
        let start;
        addEventListener(
          'pointerup',
          () => {
            start = performance.now();
          },
          { once: true, capture: true },
        );
        new MutationObserver((_, observer) => {
          if (run.textContent === before) return;
          observer.disconnect();
          resolve(performance.now() - start);
        }).observe(run, { subtree: true, childList: true, characterData: true });
      }),
  );
  await heads(page).getByRole('gridcell').nth(index).click();
  return answered;
}

/** Sweeps, and watches the main thread. @returns ms of every task, on the clock and of CPU time, and of every gap between frames */
async function sweepTimes(browser, page) {
  await browser.startTracing(page, { categories: ['toplevel', 'disabled-by-default-devtools.timeline'] });
  const gaps = page.evaluate(
    () =>
      new Promise((resolve) => {
        const found = [];
        let last = performance.now();
        const frame = (now) => {
          found.push(now - last);
          last = now;
          if (window.sweepEnded) resolve(found.slice(1));
          else requestAnimationFrame(frame);
        };
        requestAnimationFrame(frame);
      }),
  );
  await page.getByRole('button', { name: 'Sweep', exact: true }).click();
  await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Sweep', exact: true }).waitFor();
  await page.evaluate(() => {
    window.sweepEnded = true;
  });
  const frames = await gaps;
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString());
  // The page's main thread: of all renderers' the one with most tasks.
  const mains = traceEvents.filter(
    ({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain',
  );
  const tasksOf = ({ pid, tid }) =>
    traceEvents
      .filter(
        (event) => event.name.endsWith('RunTask') && event.pid === pid && event.tid === tid && event.dur,
      )
      .map(({ dur, tdur = dur }) => ({ wall: dur / 1000, cpu: tdur / 1000 }));
  const tasks = mains.map(tasksOf).reduce((a, b) => (b.length > a.length ? b : a), []);
  if (tasks.length === 0) throw new Error('the trace holds no tasks of the main thread');
  return { frames, tasks };
}

async function round(browser, address) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const start = performance.now();
  await page.goto(address);
  await heads(page).waitFor();
  await page.waitForFunction(() =>
    [...document.querySelectorAll('.pictures figure img')].every(
      ({ complete, naturalWidth }) => complete && naturalWidth,
    ),
  );
  const picture = performance.now() - start;
  await patchTime(page, 0);
  const firstPatch = performance.now() - start;
  const patches = [];
  for (let i = 1; i <= PATCHES; i++) patches.push(await patchTime(page, i));
  await page.getByRole('button', { name: 'Clear' }).click();
  const { frames, tasks } = await sweepTimes(browser, page);
  await page.close();
  return { picture, firstPatch, patches, frames, tasks };
}

function share(values, part) {
  return [...values].sort((a, b) => a - b)[Math.floor(part * (values.length - 1))];
}

const { module: support } = await runnerImport(join(import.meta.dirname, '../test/support/browser.ts'), {
  configFile: false,
});
await support.setup();
const server = await serveFolder(folder);
const rounds = [];
for (let i = 0; i < Number(options.rounds); i++) {
  const browser = await chromium.launch(support.launchOptions());
  rounds.push(await round(browser, server.address));
  await browser.close();
}
await server.close();

const all = (name) => rounds.flatMap((one) => one[name]);
const longest = (clock) => all('tasks').reduce((most, task) => Math.max(most, task[clock]), 0);
const ms = (value) => (value < 100 ? value.toFixed(1) : value.toFixed(0));
const lines = [
  ['page, gzipped, without models and pictures', `${(pageWeight() / 1000).toFixed(0)} kB`],
  [
    'first picture after opening',
    `${ms(median(all('picture')))} ms, longest ${ms(Math.max(...all('picture')))}`,
  ],
  [
    'first live patch after opening',
    `${ms(median(all('firstPatch')))} ms, longest ${ms(Math.max(...all('firstPatch')))}`,
  ],
  ['a pinned patch', `${ms(median(all('patches')))} ms, 95 % ${ms(share(all('patches'), 0.95))}`],
  [
    'longest task of the main thread while a sweep runs',
    `${ms(longest('wall'))} ms, of CPU time ${ms(longest('cpu'))} ms`,
  ],
  ['gaps between frames then', `${ms(median(all('frames')))} ms, 95 % ${ms(share(all('frames'), 0.95))}`],
];
for (const [what, value] of lines) console.log(`| ${what} | ${value} |`);
