// What `notice submit` hands to Slurm, with stand-ins for sbatch and scontrol, and what bash makes of it.

import { execFile, spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Script, slurmScripts } from '../../src/notice/cluster/slurm.ts';
import { notice, runProcess, SHAPES, smallManifest, useBuilt } from '../cli/support.ts';
import { LONG } from '../support/long.ts';
import { resultsOf } from '../support/results.ts';

let folder: string;
/** With the stand-ins. */
let PATH: string;

async function program(text: string, ...names: string[]): Promise<string> {
  const file = join(folder, ...names);
  await writeFile(file, `#!/bin/bash\n${text}\n`);
  await chmod(file, 0o755);
  return file;
}

beforeAll(async () => {
  // The name needs quotes in a shell.
  folder = await mkdtemp(join(tmpdir(), 'notice cluster-'));
  await mkdir(join(folder, 'bin'));
  PATH = `${folder}/bin:${process.env.PATH}`;
  // Jobs are numbered from 101; what was asked for stands in a file.
  await program(
    `cd '${folder}'; echo "$@" >> submitted; echo "$((100 + $(wc -l < submitted)));cluster"`,
    'bin/sbatch',
  );
  await writeFile(join(folder, 'modules.sh'), '#SBATCH --mail-user=me\nmodule load node\n');
  await writeFile(
    join(folder, 'small.yaml'),
    `model: ${SHAPES}\nout: results\nsamples: 4\ncorruptions: [sip, noise]\n`,
  );
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const submit = (...args: string[]) =>
  notice(['submit', '--engine', 'slurm', ...args], { cwd: folder, env: { PATH } });

describe('notice submit --engine slurm', () => {
  test('--dry-run prints a script for each step', async () => {
    const more = ['--time', '2:00:00', '--partition', 'gpu', '--account', 'lab', '--template', 'modules.sh'];
    const { status, stdout } = await submit('small.yaml', '--tasks', '3', '--dry-run', ...more);
    expect(status).toBe(0);
    const scripts = stdout.split(/^# .*\.sh$/m).slice(1);
    expect(scripts).toHaveLength(4);
    const [evaluate, select, measure, merge] = scripts as [string, string, string, string];
    for (const script of scripts) {
      for (const line of ['--time=2:00:00', '--partition=gpu', '--account=lab', '--signal=B:USR1@300'])
        expect(script).toContain(`#SBATCH ${line}\n`);
      // A directive behind the first command is none.
      expect(script.lastIndexOf('#SBATCH')).toBeLessThan(script.indexOf('module load node'));
    }
    const out = join(folder, 'results');
    expect(evaluate).toContain('#SBATCH --array=1-3\n');
    const shard = (step: string) => `--out '${out}.cluster/${step}-'"$TASK"-of-3 --shard "$TASK"/3`;
    expect(evaluate).toContain(`${shard('evaluate')} --until evaluate\n`);
    const folders = (step: string) => [1, 2, 3].map((i) => `'${out}.cluster/${step}-${i}-of-3'`).join(' ');
    expect(select).toContain(` merge ${folders('evaluate')} --out '${out}' &&\n`);
    expect(select).toContain(` --out '${out}' --until select\n`);
    expect(measure).toContain(`${shard('measure')} --from '${out}'\n`);
    expect(select).not.toContain('--array');
    for (const script of [evaluate, select, measure]) {
      expect(script).toContain('#SBATCH --gres=gpu:1\n');
      expect(script).toContain(`--config '${folder}/small.yaml' --adapter hardware --out`);
    }
    expect(merge).not.toContain('--gres');
    expect(merge).toContain(` merge ${folders('measure')} --out '${out}'\n`);
    expect(await readdir(folder)).not.toContain('submitted');
  });

  test('submits each step behind the one before, and says how to follow them', async () => {
    const { status, stdout } = await submit('small.yaml', '--tasks', '2', '--', '--adapter', 'software');
    expect(status).toBe(0);
    const file = (name: string) => join(folder, 'results.cluster', `${name}.sh`);
    const wait = (condition: string) => `--dependency=${condition} --kill-on-invalid-dep=yes`;
    expect((await readFile(join(folder, 'submitted'), 'utf8')).trim().split('\n')).toEqual([
      `--parsable ${file('evaluate')}`,
      `--parsable ${wait('afterok:101')} ${file('select')}`,
      `--parsable ${wait('afterok:102')} ${file('measure')}`,
      `--parsable ${wait('afterany:103')} ${file('merge')}`,
    ]);
    expect(stdout).toContain('measure  job 103, 2 tasks');
    expect(stdout).toContain('squeue -j 101,102,103,104');
    const measure = await readFile(file('measure'), 'utf8');
    expect(measure).toContain(`--adapter software --out '${folder}/results.cluster/measure-'`);
    expect(measure).not.toContain('hardware');
  });

  test('--status says what the folder and the queue say', async () => {
    await program("printf '103 RUNNING\\n103 PENDING\\n104 PENDING\\n9 RUNNING\\n'", 'bin/squeue');
    await program("printf 'AccountingStorageType   = accounting_storage/slurmdbd\\n'", 'bin/scontrol');
    await program("printf '101_1|COMPLETED\\n101_2|CANCELLED by 0\\n'", 'bin/sacct');
    const { stdout, stderr } = await submit('small.yaml', '--status');
    expect(
      stdout.split('\n').map((line) => line.trim()),
      stderr,
    ).toEqual([
      join(folder, 'results'),
      'evaluate job 101: 1 completed, 1 cancelled',
      'select   job 102: forgotten by Slurm',
      'measure  job 103: 1 running, 1 pending',
      'merge    job 104: 1 pending',
      'questions: 0 of 2 shards answered',
      '',
    ]);
    await program("printf 'AccountingStorageType   = (null)\\n'", 'bin/scontrol');
    await program('exit 1', 'bin/sacct');
    expect((await submit('small.yaml', '--status')).stdout).toContain('job 101: forgotten by Slurm');
    const other = await submit('--status', '--', '--out', 'never');
    expect(other).toMatchObject({ status: 2, stderr: expect.stringContaining('was submitted') });
  });

  test('as many tasks as keep to the wished time, and no more than samples', async () => {
    const tasks = async (minutes: number, rate: number) => {
      const args = ['--dry-run', '--task-minutes', String(minutes), '--rate', String(rate)];
      const samples = minutes === 1 ? ['--', '--samples', '1000'] : [];
      const { stdout } = await submit('small.yaml', ...args, ...samples);
      return Number(/--array=1-(\d+)/.exec(stdout)?.[1] ?? 1);
    };
    expect(await tasks(1000, 1000)).toBe(1);
    const many = await tasks(1, 1);
    expect(many).toBeGreaterThan(10);
    expect(many).toBeLessThanOrEqual(3000);
  });

  test.each([
    [['--tasks', '2', '--', '--shard', '1/2'], 'leave out --shard'],
    [[], 'say how many tasks'],
    [['--tasks', '2', 'small.yaml', 'small.yaml'], 'the same results folder'],
    [['--tasks', '2', '--template', 'none.sh'], 'none.sh cannot be read'],
  ])('%j is refused', async (args, message) => {
    const { status, stderr } = await submit(...args);
    expect(status).toBe(2);
    expect(stderr).toContain(message);
  });

  test('a refusal of sbatch is quoted, and a missing one said', async () => {
    await mkdir(join(folder, 'refusing'));
    await program('echo "sbatch: error: invalid account" >&2; exit 1', 'refusing/sbatch');
    const args = ['submit', '--engine', 'slurm', 'small.yaml', '--tasks', '1'];
    const refused = await notice(args, { cwd: folder, env: { PATH: `${folder}/refusing:/usr/bin:/bin` } });
    expect(refused).toMatchObject({ status: 2, stderr: expect.stringContaining('invalid account') });
    const missing = await notice(args, { cwd: folder, env: { PATH: join(folder, 'nowhere') } });
    expect(missing.stderr).toContain('there is no sbatch on this machine');
  });
});

describe('a script in bash', () => {
  let script: Script;
  beforeAll(async () => {
    await program(
      `[ "$1" = show ] && echo "JobState=$STATE" || echo "$@" >> '${folder}/requeued'`,
      'bin/scontrol',
    );
    // Ends with the status that it is told to; with 75 after SIGTERM alone.
    const standIn = await program(
      `[ "$ENDS" != 75 ] || trap 'exit 75' TERM
      echo "$@" > '${folder}/called'
      echo "\${DRI_PRIME:-}" > '${folder}/picked'
      while [ "$ENDS" = 75 ]; do sleep 0.05; done
      exit "$ENDS"`,
      'bin/stand-in',
    );
    const submission = { run: ['--template', "it's {question}"], out: join(folder, 'out'), tasks: 4 };
    const options = { sbatch: [], gres: 'gpu:1', program: [standIn], directory: folder, template: '' };
    [script] = slurmScripts(submission, options) as [Script];
  });

  async function task(env: Record<string, string>, signal?: NodeJS.Signals) {
    for (const name of ['requeued', 'called']) await rm(join(folder, name), { force: true });
    const slurm = { SLURM_ARRAY_JOB_ID: '77', SLURM_ARRAY_TASK_ID: '2', SLURM_JOB_ID: '79' };
    const child = spawn('bash', ['-c', script.text], { env: { PATH, STATE: 'RUNNING', ...slurm, ...env } });
    const text = (name: string) => readFile(join(folder, name), 'utf8').catch(() => '');
    const ended = new Promise<number | null>((done) => child.on('close', done));
    if (signal) {
      while ((await text('called')) === '') await sleep(20);
      child.kill(signal);
    }
    return { status: await ended, called: await text('called'), requeued: await text('requeued') };
  }

  describe('on a node with two GPUs', () => {
    let env: Record<string, string>;
    beforeAll(async () => {
      await mkdir(join(folder, 'gpus'));
      const list = 'if [ "$1" = -L ]; then echo "GPU 0"; echo "GPU 1"; exit; fi';
      await program(
        `${list}\n[ "$2" = 1 ] && echo 00000000:3B:00.0 || echo 00000000:18:00.0`,
        'gpus/nvidia-smi',
      );
      env = { ENDS: '0', PATH: `${folder}/gpus:${PATH}`, XDG_DATA_DIRS: '/nowhere' };
    });
    const picked = async () => (await readFile(join(folder, 'picked'), 'utf8')).trim();

    test('a task is given that of Slurm by PCI address', async () => {
      const data = await mkdtemp(join(tmpdir(), 'notice-layer-'));
      await mkdir(join(data, 'vulkan/implicit_layer.d'), { recursive: true });
      await writeFile(join(data, 'vulkan/implicit_layer.d/VkLayer_MESA_device_select.json'), '{}');
      const layer = { ...env, XDG_DATA_DIRS: `/nowhere:${data}` };
      expect(await task({ ...layer, CUDA_VISIBLE_DEVICES: '1' })).toMatchObject({ status: 0 });
      expect(await picked()).toBe('pci-0000_3b_00_0!');
      await task({ ...layer, SLURM_JOB_GPUS: '0,1' });
      expect(await picked()).toBe('pci-0000_18_00_0!');
      expect(await task(layer)).toMatchObject({ status: 1, called: '' });
      await rm(data, { recursive: true });
    });

    test('or fails where Vulkan cannot be told, but for what the template says', async () => {
      expect(await task({ ...env, CUDA_VISIBLE_DEVICES: '1' })).toMatchObject({ status: 1, called: '' });
      expect(await task({ ...env, DRI_PRIME: 'pci-0000_18_00_0!' })).toMatchObject({ status: 0 });
      expect(await picked()).toBe('pci-0000_18_00_0!');
    });
  });

  test('passes arguments on as they are', async () => {
    const { called } = await task({ ENDS: '0' });
    expect(called.trim()).toBe(
      `run --template it's {question} --out ${folder}/out.cluster/evaluate-2-of-4 --shard 2/4 --until evaluate`,
    );
  });

  test.each(['USR1', 'TERM'] as const)(
    'SIG%s ends the program by SIGTERM, and the task is requeued',
    async (name) => {
      const { status, requeued } = await task({ ENDS: '75' }, `SIG${name}`);
      expect({ status, requeued }).toEqual({ status: 75, requeued: 'requeue 77_2\n' });
    },
  );

  test.each([
    ['is done', { ENDS: '0' }, 0],
    ['failed', { ENDS: '1' }, 1],
    ['was requeued too often', { ENDS: '75', SLURM_RESTART_COUNT: '50' }, 75],
    ['was cancelled', { ENDS: '75', STATE: 'COMPLETING' }, 75],
  ])('a task that %s is not requeued', async (_, env, expected) => {
    const { status, requeued } = await task(env, env.ENDS === '75' ? 'SIGUSR1' : undefined);
    expect({ status, requeued }).toEqual({ status: expected, requeued: '' });
  });
});

describe.runIf(LONG)('the scripts, run one after another', () => {
  useBuilt();

  test('leave the bytes of a run by itself', async () => {
    await smallManifest(folder, 'faces', 8);
    const data = ['--data', join(folder, 'faces.csv'), '--samples', '8', '--select', 'first'];
    const small = [
      '--model',
      SHAPES,
      ...data,
      '--adapter',
      'software',
      '--sites',
      'text_encoder.hook_mlp_out',
    ];
    await runProcess(['run', ...small, '--out', 'alone'], { cwd: folder });
    const { stdout, stderr } = await submit('--tasks', '2', '--', ...small, '--out', 'shared');
    expect(stdout, stderr).toContain('Follow it');
    await program(':', 'bin/squeue');
    await program(':', 'bin/scontrol');
    const status = async () => (await submit('--status', '--', ...small, '--out', 'shared')).stdout;
    expect(await status()).toContain('questions: 0 of 2 shards answered');
    const steps = { evaluate: ['1', '2'], select: ['1'], measure: ['1', '2'], merge: ['1'] };
    for (const [name, tasks] of Object.entries(steps)) {
      const one = (task: string) =>
        promisify(execFile)('bash', [join(folder, `shared.cluster/${name}.sh`)], {
          env: { ...process.env, SLURM_ARRAY_JOB_ID: '7', SLURM_ARRAY_TASK_ID: task, SLURM_JOB_ID: '7' },
        });
      await Promise.all(tasks.map(one));
    }
    expect(await status()).toMatch(/2 of 2 shards answered\n {2}finished/);
    expect(await resultsOf(join(folder, 'shared'))).toEqual(await resultsOf(join(folder, 'alone')));
  });
});
