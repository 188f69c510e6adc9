// `evaluate`, `run --config` and `reproduce` with the embedded model on a few pairs of its data.

import { access, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readManifest } from '../../src/notice/datasets/index.ts';
import type { RunRecord } from '../../src/notice/experiment/results.ts';
import { notice, ROOT, run, SHAPES, smallManifest } from './support.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'notice-cli-'));
  await smallManifest(folder, 'scenes', 4, 'svo-probes');
  await smallManifest(folder, 'states', 2, 'mit-states');
  await smallManifest(folder, 'faces', 2, 'fer');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const recordOf = async (results: string): Promise<RunRecord> =>
  JSON.parse(await readFile(join(folder, results, 'run.json'), 'utf8'));

describe('evaluate', () => {
  test('a table for people and one for programs', async () => {
    const args = ['evaluate', '--model', SHAPES, '--data', 'svo-probes.csv,fer.csv'];
    const files = ['--out', 'accuracy.csv', '--out-first-letter', 'first-letter.csv'];
    const { stdout } = await run([...args, ...files], { cwd: folder });
    const table = async (file: string) =>
      parse(await readFile(join(folder, file), 'utf8'), { columns: true }) as Record<string, string>[];
    const rows = await table('accuracy.csv');
    // BLIP answers in small letters, so here both definitions agree.
    expect(await table('first-letter.csv')).toEqual(rows);
    expect(Object.keys(rows[0] ?? {})).toHaveLength(8);
    expect(rows.map(({ task, category, n }) => `${task} ${category} ${n}`)).toEqual([
      'svo-probes all 4',
      'svo-probes object 1',
      'svo-probes relation 1',
      'svo-probes subject 2',
      'fer all 2',
      'fer angry 1',
      'fer disgusted 1',
    ]);
    for (const { n, correct, accuracy, ci95_low, ci95_high } of rows) {
      // Wilson's interval has the p as ends for which the observed share is 1.96 standard errors away.
      for (const end of [Number(ci95_low), Number(ci95_high)]) {
        const error = Math.sqrt((end * (1 - end)) / Number(n));
        const away = Math.abs(Number(correct) / Number(n) - end);
        if (error > 1e-9) expect(away / error).toBeCloseTo(1.959964, 4);
      }
      expect(Number(accuracy)).toBe(Number(correct) / Number(n));
    }
    // The model takes the first scene's star for a cross, which is its incorrect option.
    const { pairs } = await readManifest(join(folder, 'svo-probes.csv'));
    const { cleanImage = '', cleanPrompt = '', category, incorrect } = pairs[0] ?? {};
    const answer = await run(['generate', '--model', SHAPES, '--image', cleanImage, '--prompt', cleanPrompt]);
    expect(answer.stdout).toBe(`${incorrect}\n`);
    const wrong = rows.filter(({ correct, n }) => correct !== n);
    expect(wrong.map(({ task, category: name }) => `${task} ${name}`)).toEqual([
      'svo-probes all',
      `svo-probes ${category}`,
    ]);
    expect(stdout).toMatch(
      /\| svo-probes \| all +\| +4 \| +3 \| +0\.75 \| 0\.301 to 0\.954 +\| +0\.75 \| +1 \|/,
    );
  });

  test('--n draws a balanced part; more than there is is an error', async () => {
    const args = (n: string) => ['evaluate', '--model', SHAPES, '--data', 'svo-probes.csv', '--n', n];
    const { stdout } = await run(args('2'), { cwd: folder });
    expect(stdout).toMatch(/\| svo-probes \| all +\| +2 \|/);
    const many = await notice(args('40'), { cwd: folder });
    expect(many).toMatchObject({ status: 1, stderr: expect.stringMatching(/Ask for at most \d/) });
  });
});

describe('run --config', () => {
  test('paths beside the file, flags over it, the rest by default', async () => {
    await mkdir(join(folder, 'settings'), { recursive: true });
    await symlink(SHAPES, join(folder, 'settings/model'));
    await writeFile(
      join(folder, 'settings/experiment.yaml'),
      `# a comment
model: model
data: [../fer.csv]
out: ../from-config
samples: 2
seed: 7
corruptions:
  - sip
sites: text_encoder.hook_mlp_out
compat: []
statistic: signed
`,
    );
    const args = ['run', '--config', join(folder, 'settings/experiment.yaml'), '--samples', '1'];
    const { stdout } = await run(args, { cwd: ROOT });
    expect(stdout).toMatch(/\d+ tables and \d+ figures .*from-config/);
    const { settings } = await recordOf('from-config');
    expect(settings).toMatchObject({
      model: join(folder, 'settings/model'),
      data: [join(folder, 'fer.csv')],
      samples: 1,
      seed: 7,
      corruptions: ['sip'],
      moduleSites: ['text_encoder.hook_mlp_out'],
      headSite: 'text_encoder.cross_attn.hook_z',
      compat: [],
      statistic: 'signed',
      noiseDraws: 3,
    });
  });

  test('the documented example has keys and values that are understood', async () => {
    const example = join(ROOT, 'examples/experiment.yaml');
    await run(['run', '--config', example, '--data', 'fer.csv', '--out', 'nothing', '--until', 'judge'], {
      cwd: folder,
    });
    const { settings } = await recordOf('nothing');
    expect(settings).toMatchObject({
      model: SHAPES,
      samples: 12,
      corruptions: ['sip', 'str', 'noise'],
      noiseDraws: 2,
    });
  });
});

describe('reproduce', () => {
  test('says what is missing, and how to get it', async () => {
    const args = ['reproduce', '--model', 'Salesforce/blip-vqa-base', '--data', 'empty'];
    const env = { HF_HUB_CACHE: join(folder, 'no-cache') };
    const { status, stderr, stdout } = await notice(args, { cwd: folder, env });
    expect(status).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^notice: 4 of 4 prerequisites are missing:\n/);
    expect(stderr).toMatch(
      /- "Salesforce\/blip-vqa-base" is no folder.*Run: notice pull Salesforce\/blip-vqa-base\n/,
    );
    expect(stderr).toMatch(
      /- MIT-States: there is no empty\/mit-states\.csv\n +notice data mit-states --images /,
    );
  });

  test("runs the paper's settings and puts its heads beside ours", async () => {
    const model = join(folder, 'blip-vqa-base'); // by its name the published values are found
    await symlink(SHAPES, model);
    const check = await run(['reproduce', '--model', model, '--data', folder, '--check']);
    expect(check.stdout).toBe('Everything is there.\n');
    const args = ['reproduce', '--model', model, '--data', '.', '--samples', '1', '--out', 'paper'];
    const { stdout } = await run(args, { cwd: folder });
    expect(stdout).toMatch(
      /^notice run --model \S+ --data svo-probes\.csv,mit-states\.csv,fer\.csv --out paper --samples 1 --select balanced --corruptions sip,str --statistic absolute --evaluate all --template paper\n/,
    );
    const { settings, tasks } = await recordOf('paper');
    expect(settings).toMatchObject({
      samples: 1,
      corruptions: ['sip', 'str'],
      statistic: 'absolute',
      compat: [],
    });
    expect(tasks.map(({ task }) => task)).toEqual(['svo-probes', 'mit-states', 'fer']);
    // Tables 1 to 3.
    expect(stdout).toMatch(/\| L3\.H0 +\| multimodal +\| not universal +\| [\d.e−]+ \(/);
    expect(stdout).toMatch(/\| L5\.H3 +\| vision-only +\| not universal +\| no such head +\|/);
    expect(stdout).toMatch(/\| svo-probes +\| 16\.10 % +\| [\d.]+ \([\d.]+ to [\d.]+\) % +\|/);
    expect(stdout).toMatch(/\| object suppression +\| fer +\| N\/A +\|/);
    // The page has them, too, and so has one that is made again.
    const page = () => readFile(join(folder, 'paper/report.html'), 'utf8');
    const rows =
      /<td>L3\.H0<\/td><td>multimodal<\/td>[\s\S]*<td>svo-probes<\/td><td>16\.10 %<\/td>[\s\S]*<td>outlier suppression<\/td>/;
    expect(await page()).toMatch(rows);
    expect(await page()).not.toContain('In the explorer');
    await rm(join(folder, 'paper/report.html'));
    await run(['report', 'paper', '--explorer', 'http://localhost:5173/notice/'], { cwd: folder });
    expect(await page()).toMatch(rows);
    expect(await page()).toMatch(
      /In the explorer: <a href="http:\/\/localhost:5173\/notice\/#folder=blip-vqa-base&amp;spec=/,
    );
    // Its other links lead to files.
    const links = [...(await page()).matchAll(/<a href="(?!#|http:)([^"]+)"/g)].map(([, path = '']) => path);
    expect(links).toEqual(expect.arrayContaining(['tables/heads.csv', 'cells/']));
    for (const path of links) await access(join(folder, 'paper', decodeURIComponent(path)));
    // Its command is of the same experiment: a folder of another would be refused, and here there is nothing to measure.
    const [, command = ''] = /<code>notice (run .*?)<\/code>/.exec(await page()) ?? [];
    const again = command.replace('--out repeated', '--out paper').split(' ');
    const before = await recordOf('paper');
    await run(again, { cwd: folder });
    expect((await recordOf('paper')).settings).toEqual(before.settings);
    await expect(run([...again, '--seed', '1'], { cwd: folder })).rejects.toThrow(/seed: 0, now 1/);
  }, 300_000); // a whole experiment
});
