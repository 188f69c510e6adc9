// What every command has in common: help, exit statuses, errors without stack traces.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { program } from '../../src/cli/main.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { fixture } from '../support/golden.ts';
import {
  notice,
  noticeProcess,
  notices,
  type Outcome,
  ROOT,
  runProcess,
  SHAPES,
  useBuilt,
} from './support.ts';

useBuilt();

/** "data svo-probes" and so on, of all commands. */
function commandNames(command: Command, path: readonly string[] = []): string[] {
  return command.commands.flatMap((child) => {
    const own = [...path, child.name()];
    return [own.join(' '), ...commandNames(child, own)];
  });
}

const NAMES = commandNames(program());

test('all commands are there', () => {
  expect(NAMES).toEqual(
    expect.arrayContaining([
      'trace',
      'sweep',
      'attention',
      'generate',
      'hooks',
      'run',
      'merge',
      'evaluate',
      'pull',
      'reproduce',
    ]),
  );
  expect(NAMES.filter((name) => name.startsWith('data ')).map((name) => name.slice(5))).toEqual(
    'svo-download svo-probes mit-states fer attributes generated str select check'.split(' '),
  );
});

test('--help of every command', async () => {
  const names = ['', ...NAMES];
  const outcomes = await notices(names.map((name) => [...name.split(' ').filter(Boolean), '--help']));
  names.forEach((name, i) => {
    const { status, stdout, stderr } = outcomes[i] as Outcome;
    expect(status, name).toBe(0);
    expect(stderr, name).toBe('');
    expect(stdout).toMatch(new RegExp(`^Usage: notice ${name}`));
    expect(stdout.split('\n')[2], name).toMatch(/\w.*[.,:;\w]$/); // a description
  });
});

test('--version is that of the package', async () => {
  const { stdout } = await runProcess(['--version']);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

describe('mistakes in the command line end with status 2', () => {
  const MISTAKES: readonly (readonly [readonly string[], RegExp])[] = [
    [['frobnicate'], /unknown command 'frobnicate'/],
    [['dat'], /Did you mean data\?/],
    [['run', '--sample', '3'], /Did you mean --samples\?/],
    [['run', '--corruptions', 'sip,blur'], /"blur" is none of sip, str, noise, generated/],
    [['trace', '--model', SHAPES, '--out', 'x'], /needs --inputs, or --image and --prompt/],
    [['sweep', '--model', SHAPES], /needs --clean and --prompt, or --inputs/],
    [['sweep', '--model', SHAPES, '--clean', 'a.png', '--prompt', 'q'], /needs what is corrupt/],
    [['sweep', '--model', SHAPES, '--inputs', 'x', '--correct', 'y'], /needs --correct and --incorrect/],
    [['sweep', '--model', SHAPES, '--inputs', 'x', '--out', 'map.pdf'], /ends in \.safetensors, \.parquet/],
    [['generate', '--model', SHAPES], /required option '--image <file>'/],
    [['evaluate', '--model', SHAPES, '--data', 'a/x.csv,b/x.csv'], /two data files are named "x"/],
    [['data', 'select', '--data', 'x.csv', '--n', '4', '--out', 'x.txt'], /ends in \.csv/],
    [['data', 'fer', '--images', 'x', '--out', 'x.csv', '--seed', '1.5'], /expected an integer/],
    [['data', 'mit-states', '--images', 'x', '--out', 'x.csv', '--word2vec', 'y'], /need each other/],
    [
      ['data', 'svo-probes', '--csv', 'x', '--images', 'x', '--out', 'x.csv', '--cache', 'y'],
      /need --grammar endpoint/,
    ],
    [['pull', 'no/such/model'], /is no model id/],
    [['merge', ROOT, '--out', 'x'], /is not a results folder/],
    [['report', ROOT], /is not a results folder/],
    [['report', '--explorer', 'explorer'], /"explorer" is no address of a page; expected http/],
  ];

  test('each says what is wrong, without a stack trace', async () => {
    const outcomes = await notices(
      MISTAKES.map(([args]) => args),
      { HF_ENDPOINT: 'http://127.0.0.1:1' },
    );
    MISTAKES.forEach(([args, message], i) => {
      const { status, stdout, stderr } = outcomes[i] as Outcome;
      expect(stderr).toMatch(message);
      expect(stderr).not.toMatch(/\n\s+at /);
      expect(stdout).toBe('');
      expect(status, args.join(' ')).toBe(2);
    });
  });

  test('in a process of its own', async () => {
    const { status, stdout, stderr } = await noticeProcess(['frobnicate']);
    expect(stderr).toMatch(/^error: unknown command 'frobnicate'\n/);
    expect(stdout).toBe('');
    expect(status).toBe(2);
  });

  test('notice without a command shows the help', async () => {
    const { status, stderr } = await notice([]);
    expect(stderr).toMatch(/^Usage: notice/);
    expect(status).toBe(2);
  });
});

describe('what cannot be done ends with status 1 and a message without stack trace', () => {
  test.each([
    [
      'a model that is nowhere',
      ['hooks', '--model', 'no/model'],
      /no folder, and not in the cache .*notice pull no\/model/,
    ],
    ['a folder that is no model', ['hooks', '--model', ROOT], /has no config\.json/],
    ['an unknown hook', ['hooks', '--model', SHAPES, '--names', 'no_such_hook'], /no_such_hook/],
    ['a missing manifest', ['data', 'check', 'no.csv'], /no\.csv cannot be read/],
    [
      'a missing picture',
      ['generate', '--model', SHAPES, '--image', 'no.png', '--prompt', 'is it?'],
      /no\.png/,
    ],
    [
      'missing tensors',
      ['trace', '--model', SHAPES, '--inputs', 'no.safetensors', '--out', 'x'],
      /no\.safetensors/,
    ],
  ])('%s', async (_, args, message) => {
    const { status, stdout, stderr } = await notice(args);
    expect(stderr).toMatch(/^notice: /);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/\n\s+at /);
    expect(stdout).toBe('');
    expect(status).toBe(1);
  });

  test('--debug shows the stack trace', async () => {
    const { status, stderr } = await notice(['hooks', '--model', 'no/model', '--debug']);
    expect(stderr).toMatch(/NoticeError: "no\/model" is no folder/);
    expect(stderr).toMatch(/\n\s+at .*resolve/);
    expect(status).toBe(1);
  });

  test('a file that is no safetensors, and a tensor of the wrong shape', async () => {
    const folder = await freshFolder();
    const text = join(folder, 'text.safetensors');
    await writeFile(text, 'not a tensor in sight');
    const inputs = (file: string) => [
      'trace',
      '--model',
      fixture('blip-tiny'),
      '--inputs',
      file,
      '--out',
      join(folder, 'out.safetensors'),
    ];
    const broken = await notice(inputs(text));
    expect(broken).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^notice: .*text\.safetensors/),
    });
    const other = await notice(inputs(fixture('blip-tiny/model.safetensors')));
    expect(other).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(
        /^notice: .*tensor "input_ids" is missing; .{0,900}, … \(\d+ tensors\)$/m,
      ),
    });
  });
});
