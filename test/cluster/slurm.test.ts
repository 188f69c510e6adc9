// An experiment on a real Slurm of one machine: `npm run test:slurm`, as root on Debian or Ubuntu, installs and starts it.

import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noticeProcess, type Outcome, ROOT, runProcess, SHAPES, useBuilt } from '../cli/support.ts';
import { resultsOf } from '../support/results.ts';

const call = promisify(execFile);
const SLURM = join(import.meta.dirname, 'local-slurm.sh');
const LIMIT_MS = 9 * 60_000;

const RUN = [
  ...['--model', SHAPES, '--data', join(ROOT, 'data/faces.csv'), '--samples', '36', '--select', 'first'],
  ...['--corruptions', 'sip,noise', '--noise-draws', '2', '--adapter', 'software'],
];

describe.runIf(process.env.NOTICE_TEST_SLURM)(
  'Slurm (skipped but by `npm run test:slurm`, which needs root)',
  () => {
    useBuilt();
    let folder: string;
    let alone: Record<string, unknown>;
    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), 'notice-slurm-'));
      await runProcess(['run', ...RUN, '--out', 'alone'], { cwd: folder });
      alone = await resultsOf(join(folder, 'alone'));
      await local('start');
    }, LIMIT_MS);
    afterAll(async () => {
      await slurm('scancel', '--me').catch(() => {});
      await local('stop');
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    });

    /** Its daemons keep the pipes of whoever starts them. */
    const local = (what: 'start' | 'slurmd' | 'stop', option = '') =>
      call('bash', [
        '-c',
        `"$0" ${what} "$1" ${option} > "$2" 2>&1`,
        SLURM,
        join(folder, 'slurm'),
        join(folder, 'log'),
      ]);
    const env = () => ({ SLURM_CONF: join(folder, 'slurm/slurm.conf') });
    const slurm = async (program: string, ...args: string[]): Promise<string> =>
      (await call(program, args, { env: { ...process.env, ...env() } })).stdout.trim();

    const submit = async (out: string, ...more: string[]): Promise<Outcome> => {
      const args = ['submit', '--engine', 'slurm', '--tasks', '4', '--gres', 'none', ...more];
      const outcome = await noticeProcess([...args, '--', ...RUN, '--out', out], { cwd: folder, env: env() });
      expect(outcome.status, outcome.stderr).toBe(0);
      return outcome;
    };
    const until = async (what: () => Promise<boolean>) => {
      while (!(await what())) await sleep(200);
    };
    const ended = () => until(async () => (await slurm('squeue', '-h')) === '');
    /** A task of the measurements that has something to lose: its number, that of its job, and its name in the array. */
    const atWork = async (out: string, not = '') => {
      let found = '';
      await until(async () => {
        const running = await slurm('squeue', '-hr', '-n', 'notice-measure', '-t', 'R', '-o', '%K %A %i');
        for (const line of running.split('\n').filter((task) => task !== '' && task !== not)) {
          const cells = join(folder, `${out}.cluster/measure-${line.split(' ')[0]}-of-4/cells`);
          const names = await readdir(cells).catch(() => []);
          // The first of its three parts.
          if (names.filter((name) => name.endsWith('.parquet')).length === 1) found = line;
        }
        return found !== '';
      });
      return found;
    };
    const expectSame = async (out: string) => {
      expect(await resultsOf(join(folder, out)), await logsOf(out)).toEqual(alone);
      expect((await submit(out, '--status')).stdout).toMatch(/4 of 4 shards answered\n {2}finished/);
    };
    const logsOf = async (out: string) => {
      const logs = join(folder, `${out}.cluster/logs`);
      const texts = (await readdir(logs)).map(
        async (name) => `${name}:\n${await readFile(join(logs, name), 'utf8')}`,
      );
      return (await Promise.all(texts)).join('\n');
    };
    const restarts = async (job: string) =>
      Number(/Restarts=(\d+)/.exec(await slurm('scontrol', 'show', 'job', job))?.[1]);

    test(
      'a cancelled task is named and computed by the next call; one that its limit ends is requeued',
      async () => {
        await submit('first');
        const limited = await atWork('first');
        const [, job = '', task = ''] = limited.split(' ');
        // What Slurm does before the limit. For a task of an array scancel may call the job unalterable and repeat what has arrived.
        const signal = execFile('scancel', ['-b', '-s', 'USR1', task], { env: { ...process.env, ...env() } });
        await until(async () => (await restarts(job)) === 1);
        signal.kill();
        const lost = await atWork('first', limited);
        await slurm('scancel', lost.split(' ')[2] as string);
        await ended();
        expect(await restarts(job)).toBe(1);
        expect(await logsOf('first')).toMatch(
          new RegExp(
            `measure-${lost.split(' ')[0]}-of-4 is not done: of its 3 parts [23] lack results, samples faces-`,
          ),
        );
        const { stdout } = await submit('first', '--status');
        expect(stdout).toMatch(/[01] of 3 parts measured.*; missing: faces-.*\n/);
        expect(stdout).toContain('1 cancelled');
        await submit('first');
        await ended();
        await expectSame('first');
      },
      LIMIT_MS,
    );

    /** Processes of a task: slurmstepd and all below it. */
    const processesOf = async (job: string): Promise<number[]> => {
      const { stdout } = await call('ps', ['-eo', 'pid=,ppid=,args=']);
      const all = stdout.split('\n').flatMap((line) => {
        const [, pid, parent, args] = /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? [];
        return pid ? [{ pid: Number(pid), parent: Number(parent), args: args ?? '' }] : [];
      });
      const found = new Set(
        all.filter(({ args }) => args.startsWith(`slurmstepd: [${job}.`)).map(({ pid }) => pid),
      );
      expect(found.size).toBeGreaterThan(0);
      for (let size = -1; size !== found.size; ) {
        size = found.size;
        for (const { pid, parent } of all) if (found.has(parent)) found.add(pid);
      }
      return [...found];
    };
    const endSlurmd = async () => {
      process.kill(Number(await readFile(join(folder, 'slurm/slurmd.pid'), 'utf8')), 'SIGKILL');
    };

    test(
      'a machine that restarts: slurmd, slurmstepd and the task are gone',
      async () => {
        await submit('restarted');
        const [, job = ''] = (await atWork('restarted')).split(' ');
        const running = (await slurm('squeue', '-hr', '-t', 'R', '-o', '%A')).split('\n');
        const processes = (await Promise.all(running.map(processesOf))).flat();
        await endSlurmd();
        for (const pid of processes) process.kill(pid, 'SIGKILL');
        await local('slurmd', '-b');
        await ended();
        expect(await restarts(job)).toBe(1);
        await expectSame('restarted');
      },
      LIMIT_MS,
    );

    test(
      'a node that is DOWN while its tasks go on beside those that are requeued',
      async () => {
        await submit('down');
        const [, job = ''] = (await atWork('down')).split(' ');
        // They pause, else they would be done before Slurm gives the node up.
        const old = await processesOf(job);
        for (const pid of old) process.kill(pid, 'SIGSTOP');
        await endSlurmd();
        await until(async () => (await slurm('sinfo', '-h', '-o', '%T')).startsWith('down'));
        for (const pid of old) process.kill(pid, 'SIGCONT');
        await local('slurmd');
        await ended();
        expect(await restarts(job)).toBe(1);
        await expectSame('down');
      },
      LIMIT_MS,
    );
  },
);
