// A run that is killed again and again, or that two processes do at once, ends in the bytes of one that was left alone.

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LONG, long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { noticeProcess, runProcess, SHAPES, smallManifest, useBuilt } from './support.ts';

const KILLS = long(3, 20);
const PAIRS = long(1, 100);

useBuilt();

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-killed-'));
  await smallManifest(folder, 'faces', 20);
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
  const started = performance.now();
  await runProcess(command('whole'), { cwd: folder });
  const whole = performance.now() - started;
  const expected = await digests('whole');
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
