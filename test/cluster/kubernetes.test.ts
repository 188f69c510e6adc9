// The Jobs that `notice submit --engine kubernetes` prints, checked against the API's schema; the image's Dockerfile.

import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { notice, ROOT, SHAPES } from '../cli/support.ts';
import { LONG } from '../support/long.ts';

const MOUNT = resolve(ROOT, '..');
const run = ['--', '--model', SHAPES, '--out', `${ROOT}results/Tonight_1`];
const submit = (...args: string[]) => notice(['submit', '--engine', 'kubernetes', '--tasks', '8', ...args]);
const VOLUME = ['--container', 'registry.example/notice:1', '--claim', 'lab', '--mount', MOUNT];

const jobsOf = (text: string) =>
  parseAllDocuments(text).map((document) => new Job(document.toJS() as ConstructorParameters<typeof Job>[0]));
const containerOf = (job: Job | undefined) => job?.spec?.template.spec?.containers[0];

test('are valid, and go on after preemption', async () => {
  const { status, stdout } = await submit(...VOLUME, ...run);
  expect(status).toBe(0);
  const jobs = jobsOf(stdout);
  for (const job of jobs) job.validate();
  expect(jobs.map(({ metadata, spec }) => [metadata?.name, spec?.completions, spec?.parallelism])).toEqual([
    ['notice-tonight-1-evaluate', 8, 8],
    ['notice-tonight-1-select', 1, 1],
    ['notice-tonight-1-measure', 8, 8],
    ['notice-tonight-1-merge', 1, 1],
  ]);
  for (const job of jobs) {
    expect(job.spec).toMatchObject({ completionMode: 'Indexed', backoffLimitPerIndex: 3 });
    expect(job.spec?.activeDeadlineSeconds).toBeGreaterThan(0);
    const rules = job.spec?.podFailurePolicy?.rules.map(({ action, onExitCodes, onPodConditions }) => [
      action,
      onExitCodes?.values ?? onPodConditions?.map(({ type }) => type),
    ]);
    expect(rules).toEqual([
      ['Ignore', ['DisruptionTarget']],
      ['Ignore', [75]],
      ['FailJob', [2]],
    ]);
    // A policy for failures is refused with any other.
    expect(job.spec?.template.spec?.restartPolicy).toBe('Never');
    expect(containerOf(job)?.volumeMounts).toEqual([{ name: 'shared', mountPath: MOUNT }]);
    expect(containerOf(job)?.env).toContainEqual({
      name: 'NVIDIA_DRIVER_CAPABILITIES',
      value: 'compute,utility,graphics',
    });
  }
  // What waits has no GPU.
  expect(jobs.map((job) => containerOf(job)?.resources?.limits)).toEqual([
    ...new Array(3).fill({ 'nvidia.com/gpu': 1 }),
    undefined,
  ]);
});

test('call the steps, each pod with the shard of its index', async () => {
  const bin = await mkdtemp(join(tmpdir(), 'notice-pod-'));
  await writeFile(join(bin, 'notice'), '#!/bin/sh\necho "$@"\n', { mode: 0o755 });
  const jobs = jobsOf((await submit(...VOLUME, ...run)).stdout);
  const called = await Promise.all(
    jobs.map(async (job) => {
      const [shell = '', ...args] = containerOf(job)?.command ?? [];
      const env = { PATH: `${bin}:${process.env.PATH}`, JOB_COMPLETION_INDEX: '6' };
      return (await promisify(execFile)(shell, args, { env })).stdout.trim().split('\n');
    }),
  );
  await rm(bin, { recursive: true });
  const out = `${ROOT}results/Tonight_1`;
  const common = `run --model ${SHAPES} --out ${out} --adapter hardware --out`;
  const folders = (step: string) =>
    Array.from({ length: 8 }, (_, i) => `${out}.cluster/${step}-${i + 1}-of-8`).join(' ');
  expect(called).toEqual([
    [`${common} ${out}.cluster/evaluate-7-of-8 --shard 7/8 --until evaluate`],
    [`merge ${folders('evaluate')} --out ${out} --wait 1`, `${common} ${out} --until select`],
    [`${common} ${out}.cluster/measure-7-of-8 --shard 7/8 --from ${out}`],
    [`merge ${folders('measure')} --out ${out} --wait`],
  ]);
});

test('the schema notices what is wrong', async () => {
  const { stdout } = await submit(...VOLUME, ...run);
  const [job] = jobsOf(stdout.replace('completions: 8', 'completions: eight')) as [Job];
  expect(() => job.validate()).toThrow(/completions/);
});

test('GPUs by their name', async () => {
  const config = `${ROOT}examples/experiment.yaml`;
  const one = await submit(config, ...VOLUME, '--gres', 'amd.com/gpu:2');
  expect(containerOf(jobsOf(one.stdout)[0])?.resources?.limits).toEqual({
    'amd.com/gpu': 2,
  });
});

test.each([
  [[], 'needs --container, --claim and --mount'],
  [[...VOLUME.slice(0, -1), '/elsewhere', ...run], 'must be beneath --mount /elsewhere'],
])('%j is refused', async (args, message) => {
  const { status, stderr } = await submit(...args);
  expect(status).toBe(2);
  expect(stderr).toContain(message);
});

describe.runIf(LONG)('the Dockerfile (by `npm run test:long`, which installs the linter for it)', () => {
  test('has nothing that dockerfilelint objects to', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'notice-lint-'));
    const call = (program: string, ...args: string[]) => promisify(execFile)(program, args);
    await call('npm', 'install', '--prefix', folder, '--no-audit', '--no-fund', 'dockerfilelint@1.8.0');
    const lint = async (file: string) => {
      const bin = join(folder, 'node_modules/.bin/dockerfilelint');
      const { stdout } = await call(bin, '-o', 'json', file).catch((error: { stdout: string }) => error);
      return (JSON.parse(stdout) as { totalIssues: number }).totalIssues;
    };
    const text = await readFile(`${ROOT}Dockerfile`, 'utf8');
    await writeFile(join(folder, 'Worse'), text.replace(' -y ', ' '));
    expect(await lint(join(folder, 'Worse'))).toBeGreaterThan(0);
    expect(await lint(`${ROOT}Dockerfile`)).toBe(0);
    expect(text).not.toMatch(/token|secret|password/i);
    await rm(folder, { recursive: true });
  }, 300_000);
});
