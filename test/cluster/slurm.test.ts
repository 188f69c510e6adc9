// An experiment on a real Slurm of one machine: `npm run test:slurm`, as root on Debian or Ubuntu, installs and starts it.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noticeProcess, ROOT, runProcess, SHAPES, useBuilt } from '../cli/support.ts';

const call = promisify(execFile);
const SLURM = join(import.meta.dirname, 'local-slurm.sh');
/** Slurm begins a requeued task after two minutes. */
const LIMIT_MS = 9 * 60_000;

describe.runIf(process.env.NOTICE_TEST_SLURM)(
  'Slurm (skipped but by `npm run test:slurm`, which needs root)',
  () => {
    useBuilt();
    let folder: string;
    let env: Record<string, string>;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'notice-slurm-'));
      env = { SLURM_CONF: join(folder, 'slurm/slurm.conf') };
      // Its daemons keep the pipes of whoever starts them.
      await call('bash', [
        '-c',
        `"$0" start "$1" > "$2" 2>&1`,
        SLURM,
        join(folder, 'slurm'),
        join(folder, 'log'),
      ]);
    });
    afterAll(async () => {
      await call(SLURM, ['stop', join(folder, 'slurm')]);
      await rm(folder, { recursive: true, force: true });
    });
    const slurm = async (program: string, ...args: string[]) =>
      (await call(program, args, { env: { ...process.env, ...env } })).stdout.trim();

    test(
      'a task that its limit ends is requeued and goes on; the files are those of a run by itself',
      async () => {
        const run = [
          ...[
            '--model',
            SHAPES,
            '--data',
            join(ROOT, 'data/faces.csv'),
            '--samples',
            '12',
            '--select',
            'first',
          ],
          ...['--adapter', 'software', '--sites', 'text_encoder.hook_mlp_out'],
        ];
        await runProcess(['run', ...run, '--out', 'alone'], { cwd: folder });
        const submit = ['submit', '--engine', 'slurm', '--tasks', '2', '--gres', 'none'];
        const { status, stderr } = await noticeProcess([...submit, '--', ...run, '--out', 'out'], {
          cwd: folder,
          env,
        });
        expect(status, stderr).toBe(0);
        // The signal that Slurm sends before the limit, once there is something to lose.
        const cells = () => readdir(join(folder, 'out/cells')).catch(() => []);
        while ((await cells()).length === 0) await sleep(100);
        const [task = ''] = (
          await slurm('squeue', '-hr', '-n', 'notice-measure', '-t', 'R', '-o', '%i')
        ).split('\n');
        await slurm('scancel', '-b', '-s', 'USR1', task);
        while ((await slurm('squeue', '-h')) !== '') await sleep(1000);
        const jobs = await slurm('scontrol', '-o', 'show', 'job');
        for (const job of jobs.split('\n')) expect(job).toContain('JobState=COMPLETED');
        expect(jobs).toContain('Restarts=1');
        for (const part of ['cells', 'controls', 'evaluation', 'attention', 'tables', 'checksums']) {
          const names = (await readdir(join(folder, 'alone', part))).sort();
          expect((await readdir(join(folder, 'out', part))).sort()).toEqual(names);
          for (const name of names)
            expect(await readFile(join(folder, 'out', part, name)), name).toEqual(
              await readFile(join(folder, 'alone', part, name)),
            );
        }
      },
      LIMIT_MS,
    );
  },
);
