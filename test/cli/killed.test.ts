// A run that is killed again and again ends in the bytes of one that was left alone.

import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { noticeProcess, runProcess, SHAPES, smallManifest, useBuilt } from './support.ts';

const KILLS = long(3, 20);

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
      const bytes = await readFile(join(folder, out, part, file));
      found[`${part}/${file}`] = createHash('sha256').update(bytes).digest('hex');
    }
  return found;
}

test(
  `killed ${KILLS} times at random, a run ends in the same bytes`,
  async () => {
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
  },
  10 * 60_000,
);
