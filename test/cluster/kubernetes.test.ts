// The Job that `notice submit --engine kubernetes` prints, checked against the API's schema.

import { resolve } from 'node:path';
import { Job } from 'kubernetes-models/batch/v1/Job';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { notice, ROOT, SHAPES } from '../cli/support.ts';

const MOUNT = resolve(ROOT, '..');
const run = ['--', '--model', SHAPES, '--out', `${ROOT}results/Tonight_1`];
const submit = (...args: string[]) => notice(['submit', '--engine', 'kubernetes', '--tasks', '8', ...args]);
const VOLUME = ['--container', 'registry.example/notice:1', '--claim', 'lab', '--mount', MOUNT];

const jobsOf = (text: string) =>
  parseAllDocuments(text).map((document) => new Job(document.toJS() as ConstructorParameters<typeof Job>[0]));

test('is valid, and goes on after preemption', async () => {
  const { status, stdout } = await submit(...VOLUME, ...run);
  expect(status).toBe(0);
  const jobs = jobsOf(stdout);
  expect(jobs).toHaveLength(1);
  const [job] = jobs as [Job];
  job.validate();
  expect(job.metadata?.name).toBe('notice-tonight-1');
  expect(job.spec).toMatchObject({ completionMode: 'Indexed', completions: 8, parallelism: 8 });
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
  const [container] = job.spec?.template.spec?.containers ?? [];
  expect(container?.command).toEqual([
    ...['notice', 'run', '--model', SHAPES, '--out', `${ROOT}results/Tonight_1`],
    ...['--adapter', 'hardware', '--out', `${ROOT}results/Tonight_1`],
  ]);
  expect(container?.resources?.limits).toEqual({ 'nvidia.com/gpu': 1 });
  expect(container?.volumeMounts).toEqual([{ name: 'shared', mountPath: MOUNT }]);
});

test('the schema notices what is wrong', async () => {
  const { stdout } = await submit(...VOLUME, ...run);
  const [job] = jobsOf(stdout.replace('completions: 8', 'completions: eight')) as [Job];
  expect(() => job.validate()).toThrow(/completions/);
});

test('GPUs by their name', async () => {
  const config = `${ROOT}examples/experiment.yaml`;
  const one = await submit(config, ...VOLUME, '--gres', 'amd.com/gpu:2');
  expect(jobsOf(one.stdout)[0]?.spec?.template.spec?.containers[0]?.resources?.limits).toEqual({
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
