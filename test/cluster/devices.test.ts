// Several devices in one machine: how they are told apart, and one shard on each.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chooseDevices, deviceChoice } from '../../src/cli/devices.ts';
import { runOnDevices } from '../../src/notice/cluster/local.ts';
import { listDevices } from '../../src/platform/node/adapter.ts';
import { tellApart } from '../../src/platform/node/devices.ts';
import { notice, ROOT, runProcess, SHAPES, smallManifest, useBuilt } from '../cli/support.ts';
import { LONG } from '../support/long.ts';
import { resultsOf } from '../support/results.ts';

const H200 = 'NVIDIA H200';
const LAVAPIPE = 'llvmpipe (LLVM 19.1.7, 256 bits)';
const display = (address: string, kind = '0x10de 0x2335') => ({ address, kind });
const onboard = display('0000:02:00.0', '0x1a03 0x2000');

describe('devices are told apart', () => {
  test('by name, which hardware and software are kept by', () => {
    const devices = tellApart([H200, LAVAPIPE, 'SwiftShader Device (Subzero)'], [onboard], false);
    expect(devices.map(({ software, env }) => [software, env])).toEqual([
      [false, { NOTICE_DEVICE: H200 }],
      [true, { NOTICE_DEVICE: LAVAPIPE }],
      [true, { NOTICE_DEVICE: 'SwiftShader Device (Subzero)' }],
    ]);
    expect(chooseDevices(devices, 'all', false)).toEqual(devices.slice(0, 1));
    expect(() => chooseDevices(devices, 'all', true)).toThrow(/of different kinds round differently/);
    expect(chooseDevices(devices, [2], false)).toEqual(devices.slice(1, 2));
    expect(() => chooseDevices(devices, [4], false)).toThrow(/there is no device 4: .* lists 3/);
    expect(() => chooseDevices(devices.slice(1), 'all', false)).toThrow(/there is no hardware device/);
  });

  test('by PCI address where they are equal', () => {
    const displays = [onboard, display('0000:18:00.0'), display('0000:3b:00.0')];
    const devices = tellApart([H200, H200], displays, true);
    expect(devices.map(({ pci, env }) => [pci, env])).toEqual([
      ['0000:18:00.0', { DRI_PRIME: 'pci-0000_18_00_0!' }],
      ['0000:3b:00.0', { DRI_PRIME: 'pci-0000_3b_00_0!' }],
    ]);
    expect(chooseDevices(devices, 'all', false)).toEqual(devices);
  });

  test.each([
    [
      'no layer',
      [display('0000:18:00.0'), display('0000:3b:00.0')],
      false,
      /selection layer .* not installed/,
    ],
    ['one address', [display('0000:18:00.0')], true, /0 kinds of 2 equal .*\(0000:18:00\.0 0x10de 0x2335\)/],
    ['no bus', [], true, /none at all/],
    [
      'two pairs',
      [display('0000:18:00.0'), display('0000:3b:00.0'), display('0:1', 'a b'), display('0:2', 'a b')],
      true,
      /2 kinds of 2 equal/,
    ],
  ])('or refused: %s', (_, displays, layer, message) => {
    expect(() => tellApart([H200, H200], displays, layer)).toThrow(message);
  });

  test('numbers', () => {
    expect(deviceChoice('1,3')).toEqual([1, 3]);
    expect(() => deviceChoice('first')).toThrow('expected all, or numbers');
  });
});

test('notice devices lists what Dawn finds here', async () => {
  const devices = await listDevices();
  expect(devices.length).toBeGreaterThan(0);
  const { stdout } = await notice(['devices']);
  for (const { name } of devices) expect(stdout).toContain(name);
});

test('--devices is of the machine', async () => {
  const { status, stderr } = await notice(['run', '--devices', 'all', '--shard', '1/2']);
  expect({ status, stderr }).toMatchObject({ status: 2, stderr: expect.stringContaining('without --shard') });
});

describe.runIf(LONG)('one shard on each device', () => {
  useBuilt();
  let folder: string;
  let run: string[];
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'notice-devices-'));
    await smallManifest(folder, 'faces', 20);
    run = [
      ...['--model', SHAPES, '--data', join(folder, 'faces.csv'), '--samples', '14', '--select', 'first'],
      ...['--adapter', 'software', '--sites', 'text_encoder.hook_mlp_out'],
    ];
    await runProcess(['run', ...run, '--out', 'alone'], { cwd: folder });
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** The software device of this machine, as if there were two of it. */
  const options = (signal: AbortSignal) => ({
    environments: [{}, {}],
    program: [process.execPath, `${ROOT}bin/notice.mjs`],
    signal,
    log: () => {},
  });

  test('leaves the bytes of a run by itself, also after it was ended', async () => {
    const submission = { run, out: join(folder, 'out'), tasks: 2 };
    const ended = new AbortController();
    const first = runOnDevices(submission, options(ended.signal));
    const cells = join(folder, 'out.cluster/measure-1-of-2/cells');
    const look = setInterval(async () => {
      if ((await readdir(cells).catch(() => [])).length > 0) ended.abort(new Error('told to end'));
    }, 50);
    await expect(first).rejects.toThrow('told to end');
    clearInterval(look);
    await runOnDevices(submission, options(new AbortController().signal));
    expect(await resultsOf(join(folder, 'out'))).toEqual(await resultsOf(join(folder, 'alone')));
  }, 300_000);

  test('a task that fails is named with its log, and one process holds the folder', async () => {
    const submission = { run: [...run, '--model', 'nowhere'], out: join(folder, 'failed'), tasks: 2 };
    const both = await Promise.allSettled([
      runOnDevices(submission, options(new AbortController().signal)),
      runOnDevices(submission, options(new AbortController().signal)),
    ]);
    const messages = both.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.message : 'done'));
    expect(messages.filter((message) => message.includes('is being computed by'))).toHaveLength(1);
    const failed = messages.find((message) => message.includes('ended with status')) as string;
    expect(failed).toMatch(/task 1 of evaluate .*evaluate-1\.log.*task 2/);
    expect(await readFile(join(folder, 'failed.cluster/logs/evaluate-1.log'), 'utf8')).toContain('nowhere');
  }, 120_000);

  test('notice run --devices all', async () => {
    const devices = await listDevices();
    const args = ['run', ...run, '--out', 'all', '--devices', 'all'];
    const kinds = new Set(devices.filter(({ software }) => software).map(({ name }) => name));
    // With lavapipe and SwiftShader there are two kinds.
    if (kinds.size > 1) {
      await expect(runProcess(args, { cwd: folder })).rejects.toThrow(/round differently/);
      return;
    }
    await runProcess(args, { cwd: folder });
    expect(await resultsOf(join(folder, 'all'))).toEqual(await resultsOf(join(folder, 'alone')));
  }, 300_000);
});
