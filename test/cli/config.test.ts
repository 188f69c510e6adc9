// `--config`: what a YAML file may say, what goes first, and what is said about mistakes.

import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { beforeEach, describe, expect, test } from 'vitest';
import { addConfigOption } from '../../src/cli/config.ts';
import { EMBEDDED_MODEL } from '../../src/cli/embedded.ts';
import { addModelOptions, list, positiveInteger } from '../../src/cli/options.ts';
import { NoticeError } from '../../src/errors.ts';
import { freshFolder } from '../notice/datasets/support.ts';
import { notice } from './support.ts';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await freshFolder();
  file = join(folder, 'experiment.yaml');
});

/** What a command with options of every kind is given by a file and a command line. */
async function optionsFrom(yaml: string, ...args: string[]): Promise<Record<string, unknown>> {
  await writeFile(file, yaml);
  let found: Record<string, unknown> = {};
  const command = new Command('try').exitOverride();
  addConfigOption(addModelOptions(command, { embedded: true }))
    .option('--data <files>', '', list, ['/default.csv'])
    .option('--out <folder>', '', 'results')
    .option('--samples <n>', '', positiveInteger, 60)
    .option('--compat <list>', '', list, [])
    .option('--head-site <name>')
    .option('--plan')
    .action((options: Record<string, unknown>) => {
      found = options;
    });
  await command.parseAsync(['--config', file, ...args], { from: 'user' });
  return found;
}

test('values of every kind', async () => {
  const yaml = `
model: org/name@v1
dtype: f16
memory: 512
data: [a.csv, sub/b.csv, /abs/c.csv]
out: ../elsewhere
samples: 7
compat: score-p, nan-to-zero
head-site: language.attn.hook_z
plan: true
`;
  expect(await optionsFrom(yaml)).toMatchObject({
    model: 'org/name@v1',
    dtype: 'f16',
    memory: 512,
    data: [join(folder, 'a.csv'), join(folder, 'sub/b.csv'), '/abs/c.csv'],
    out: join(folder, '../elsewhere'),
    samples: 7,
    compat: ['score-p', 'nan-to-zero'],
    headSite: 'language.attn.hook_z',
    plan: true,
  });
});

test('the command line goes before the file, the file before defaults', async () => {
  const yaml = 'samples: 7\nout: here\ndata:\n  - a.csv\n';
  expect(await optionsFrom(yaml, '--samples', '8', '--data', 'b.csv')).toMatchObject({
    samples: 8,
    data: ['b.csv'],
    out: join(folder, 'here'),
    model: EMBEDDED_MODEL,
    compat: [],
  });
});

test('a model is a path if it says so or exists beside the file, else an id', async () => {
  await mkdir(join(folder, 'org/here'), { recursive: true });
  const modelOf = async (name: string) => (await optionsFrom(`model: ${name}`)).model;
  expect(await modelOf('org/here')).toBe(join(folder, 'org/here'));
  expect(await modelOf('org/elsewhere')).toBe('org/elsewhere');
  expect(await modelOf('./org/elsewhere')).toBe(join(folder, 'org/elsewhere'));
  expect(await modelOf('/org/elsewhere')).toBe('/org/elsewhere');
});

test('an empty file, comments, and an empty list change nothing', async () => {
  const unchanged = { samples: 60, compat: [], out: 'results' };
  expect(await optionsFrom('')).toMatchObject(unchanged);
  expect(await optionsFrom('# samples: 3\n')).toMatchObject(unchanged);
  expect(await optionsFrom('compat: []\n')).toMatchObject(unchanged);
});

/** A short text that stands for very many values. */
const lists = (alias: string) => `[${new Array(30).fill(alias).join()}]`;

describe('mistakes name file, line, key, and what was expected', () => {
  test.each([
    ['sampels: 4', /line 1: there is no option "sampels"; the nearest is "samples" \(all: model, dtype, /],
    ['\n\nheadsite: x', /line 3: there is no option "headsite"; the nearest is "head-site"/],
    ['config: other.yaml', /line 1: there is no option "config"/],
    ['__proto__: 1', /line 1: there is no option "__proto__"/],
    ['samples: many', /line 1: samples: expected a number, found "many"/],
    ['samples: "4"', /line 1: samples: expected a number, found "4"/],
    ['samples: 1e23', /line 1: samples: expected a positive integer/],
    ['plan: true\nout: *elsewhere', /line 2: Unresolved alias/],
    [`data: [&a [x], &b ${lists('*a')}, &c ${lists('*b')}, ${lists('*c')}]`, /line 1: Excessive alias count/],
    ['samples: -1', /line 1: samples: expected a positive integer/],
    ['memory:', /line 1: memory: expected a number, found nothing/],
    ['data: {a: b.csv}', /line 1: data: expected a list of texts without commas, found \{"a":"b\.csv"\}/],
    ['data: ["a,b.csv"]', /line 1: data: expected a list of texts without commas/],
    ['data: []', /line 1: data: expected a comma-separated list/],
    ['out: 2024', /line 1: out: expected a text \(in quotes, if it looks like a number\), found 2024/],
    ['plan: 1', /line 1: plan: expected true or false, found 1/],
    ['dtype: f8', /line 1: dtype: Allowed choices are f32, /],
    ['samples: 3\nsamples: 4', /is not valid YAML: Map keys must be unique at line 2, column 1$/],
    ['samples: [', /is not valid YAML: .* at line/],
    ['- samples', /expected lines of "option: value", as in "samples: 100"$/],
  ])('%j', async (yaml, message) => {
    const error = await optionsFrom(yaml).catch((found: unknown) => found);
    expect(error).toBeInstanceOf(NoticeError);
    expect((error as NoticeError).message).toMatch(message);
    expect((error as NoticeError).message.startsWith(file)).toBe(true);
    expect((error as NoticeError).code).toBe('usage');
  });

  test('even where the command line goes before the value', async () => {
    await expect(optionsFrom('samples: many', '--samples', '3')).rejects.toThrow(/expected a number/);
  });

  test('on the command line: one line on stderr, status 2', async () => {
    await writeFile(file, 'seed: 1\nstatistics: signed\n');
    const { status, stdout, stderr } = await notice(['run', '--config', file]);
    expect(stderr).toMatch(
      /^notice: .*yaml line 2: there is no option "statistics"; the nearest is "statistic" .*\n$/,
    );
    expect(stdout).toBe('');
    expect(status).toBe(2);
    const missing = await notice(['run', '--config', join(folder, 'none.yaml')]);
    expect(missing).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/none\.yaml cannot be read: ENOENT/),
    });
  });
});
