// A run that is killed again and again, or that two processes do at once, ends in the bytes of one that was left alone.

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LONG, long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { noticeProcess, runProcess, SHAPES, smallManifest, useBuilt } from './support.ts';

const KILLS = long(3, 20);
const PAIRS = long(1, 100);

useBuilt();

let folder: string;
/** Milliseconds that a run takes which is left alone, and what it leaves. */
let whole: number;
let expected: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-killed-'));
  await smallManifest(folder, 'faces', 20);
  const started = performance.now();
  await runProcess(command('whole'), { cwd: folder });
  whole = performance.now() - started;
  expected = await digests('whole');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const command = (out: string) => [
  ...[
    'run',
    '--model',
    SHAPES,
    '--data',
    'faces.csv',
    '--out',
    out,
    '--samples',
    '20',
    '--corruptions',
    'sip,noise',
  ],
  ...['--noise-draws', '1', '--sites', 'text_encoder.hook_mlp_out', '--select', 'first'],
];

/** Every file that holds results, with a digest of its bytes. */
async function digests(out: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const part of ['cells', 'controls', 'evaluation', 'attention', 'tables'])
    for (const file of (await readdir(join(folder, out, part))).sort()) {
      // Another process may be at a table: what a killed one left of it stays.
      if (part === 'tables' && file.endsWith('.tmp')) continue;
      const bytes = await readFile(join(folder, out, part, file));
      found[`${part}/${file}`] = createHash('sha256').update(bytes).digest('hex');
    }
  return found;
}

test(`killed ${KILLS} times at random, a run ends in the same bytes`, async () => {
  expect(Object.keys(expected).filter((name) => name.endsWith('.parquet')).length).toBeGreaterThan(3);

  const random = new Random(11);
  let killed = 0;
  for (let trial = 0; killed < KILLS; trial++) {
    const out = `killed${trial}`;
    for (let finished = false; !finished; ) {
      // From before the model is loaded to all of a run.
      const killAfterMs = killed < KILLS ? whole * (0.05 + 0.5 * random.next()) : undefined;
      const { status } = await noticeProcess(command(out), {
        cwd: folder,
        ...(killAfterMs && { killAfterMs }),
      });
      finished = status === 0;
      if (status === null) killed++;
      else expect(status).toBe(0);
    }
    expect(await digests(out)).toEqual(expected);
  }
  if (LONG) console.log('killed', killed);
}, 3_600_000);

test('SIGTERM ends a run after the part in flight with status 75, and the next goes on', async () => {
  const cells = async () => (await readdir(join(folder, 'ended/cells')).catch(() => [])).sort();
  const measuring = (async () => {
    while ((await cells()).length === 0) await sleep(20);
  })();
  const { status, stderr } = await noticeProcess(command('ended'), {
    cwd: folder,
    terminateWhen: measuring,
  });
  expect(status).toBe(75);
  expect(stderr).toMatch(/^notice: ended by SIGTERM/m);
  // The file that was seen and at most the one in flight: whole, each with its checksum.
  const kept = await cells();
  expect(kept.every((file) => file.endsWith('.parquet'))).toBe(true);
  const all = Object.keys(expected).filter((file) => file.startsWith('cells/')).length;
  expect(kept.length).toBeLessThan(all);
  expect(await readdir(join(folder, 'ended/claims'))).toEqual([]);
  const written = async () => (await stat(join(folder, 'ended/cells', kept[0] as string))).mtimeMs;
  const before = await written();
  await runProcess(command('ended'), { cwd: folder });
  expect(await digests('ended')).toEqual(expected);
  expect(await written()).toBe(before);
});

test(
  `two processes at once in one folder, ${PAIRS} times, share the work or take it over`,
  async () => {
    await smallManifest(folder, 'faces', 8, 'few');
    const args = (out: string) => [
      ...['run', '--model', SHAPES, '--data', 'few.csv', '--out', out, '--samples', '8', '--select', 'first'],
      ...['--corruptions', 'sip', '--sites', 'text_encoder.hook_mlp_out'],
    ];
    const started = performance.now();
    await runProcess(args('alone'), { cwd: folder });
    const whole = performance.now() - started;
    const expected = await digests('alone');
    const random = new Random(23);
    const counts = { draws: 0, 'both to the end': 0, 'one killed': 0 };
    for (let draw = 0; draw < PAIRS; draw++) {
      const out = `pair${draw}`;
      const delay = whole * random.next() ** 2;
      const killAfterMs = random.next() < 1 / 3 ? whole * (0.1 + 1.2 * random.next()) : undefined;
      const first = noticeProcess(args(out), { cwd: folder, ...(killAfterMs && { killAfterMs }) });
      await new Promise((done) => setTimeout(done, delay));
      const [one, other] = await Promise.all([first, noticeProcess(args(out), { cwd: folder })]);
      const what = `draw ${draw}: ${one.stderr}${other.stderr}`;
      expect(other.status, what).toBe(0);
      expect([0, ...(killAfterMs ? [null] : [])], what).toContain(one.status);
      counts.draws++;
      counts[one.status === null ? 'one killed' : 'both to the end']++;
      expect(await digests(out), what).toEqual(expected);
      expect(await readdir(join(folder, out)), what).not.toContain('claims');
      await rm(join(folder, out), { recursive: true });
    }
    if (LONG) console.log('two processes', JSON.stringify(counts));
  },
  2 * 3_600_000,
);
