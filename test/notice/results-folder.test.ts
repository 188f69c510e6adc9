// Results folders that are damaged, not finished, or shared by processes. The folder is made up, without a model.

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { CellRow } from '../../src/analysis/cell.ts';
import { NoticeError } from '../../src/errors.ts';
import { readManifest, writeManifest } from '../../src/notice/datasets/index.ts';
import { type Analysis, analyse } from '../../src/notice/experiment/analyse.ts';
import { rowKey } from '../../src/notice/experiment/keys.ts';
import { mergeResults } from '../../src/notice/experiment/merge.ts';
import { newRecord, ResultsFolder, type RunRecord } from '../../src/notice/experiment/results.ts';
import type { ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { reportHtml } from '../../src/notice/report/report.ts';
import { writeSafetensors } from '../../src/weights/index.ts';
import { useBuilt } from '../cli/support.ts';
import { LONG, long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { filesOf } from '../support/results.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MANIFEST = join(ROOT, 'data/faces.csv');
const DAMAGES = long(20, 500);

useBuilt();

let scratch: string;
let sound: string;
let record: RunRecord;
let expected: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'notice-folder-'));
  sound = join(scratch, 'sound');
  await makeUp(sound);
  ({ record } = await ResultsFolder.existing(sound));
  expected = content(await reportOf(sound));
  await writeFile(join(sound, 'report.html'), 'made of the others');
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

const settings: ExperimentSettings = {
  ...{ model: 'made-up', data: [MANIFEST], samples: 3, select: 'first', corruptions: ['sip'] },
  ...{ moduleSites: ['text_encoder.hook_mlp_out'], headSite: 'text_encoder.cross_attn.hook_z' },
  ...{ statistic: 'absolute', compat: [], seed: 0, noiseDraws: 1, noiseScale: 3, template: undefined },
};
const details = { version: 'test', model: { family: 'blip', weightBytes: 0, towers: [] }, adapter: 'none' };

/** A small finished folder of three samples, each a part. */
async function makeUp(path: string): Promise<void> {
  const random = new Random(3);
  const { folder, record: begun } = await ResultsFolder.open(path, () => newRecord(settings, details));
  const pairs = (await readManifest(MANIFEST)).pairs.slice(0, 3);
  const parts = await Promise.all(
    pairs.map(async (pair, i) => ({
      name: `000000${i}-0123456789abcdef`,
      task: 'faces',
      samples: [pair.id],
      rows: [await rowKey(pair)],
    })),
  );
  for (const [i, { id, category }] of pairs.entries()) {
    const { name } = parts[i] as (typeof parts)[number];
    const rows = [0, 1].flatMap((layer) =>
      [null, 0, 1].map((head): CellRow => {
        const [p, ld] = [Math.fround(random.next()), Math.fround(random.next())];
        return {
          ...{
            sample: id,
            task: 'faces',
            category,
            modality: 'image',
            corruption: 'sip',
            draw: 0,
            layer,
            head,
          },
          site: head === null ? 'text_encoder.hook_mlp_out' : 'text_encoder.cross_attn.hook_z',
          ...{ position: 6, positions: 1, role: 'correct', token: 'happy', p_patched: p, p_effect: p },
          ...{ ld_effect: ld, normalized: ld, p_clean: 1, p_corrupt: 0, ld_clean: 1, ld_corrupt: 0 },
        };
      }),
    );
    const noise = { noiseFloor: 1e-6 * (i + 1), noiseFloorP: 1e-7 };
    await folder.writeCells(name, rows, [{ sample: id, corruption: 'sip', nullPatches: 4, ...noise }]);
    const attention = {
      dtype: 'F32' as const,
      shape: [2, 2, 4],
      data: new Float32Array(16).fill(0.1 * (i + 1)),
    };
    const grids = { dtype: 'F32' as const, shape: [1, 6], data: Float32Array.of(2, 2, 0, 0, 64, 64) };
    await folder.writeAttention(
      name,
      writeSafetensors(
        new Map([
          [id, attention],
          [`${id}/grids`, grids],
        ]),
      ),
    );
  }
  await folder.saveEvaluations(
    'faces',
    pairs.map(({ id, category, correct, incorrect }, i) => ({
      ...{ id, category, correct, incorrect, answer: correct, corruptAnswer: incorrect },
      ...{ cleanCorrect: true, corruptIncorrect: true, key: `key${i}` },
    })),
  );
  begun.tasks = [
    {
      task: 'faces',
      pairs: 3,
      asked: 3,
      correct: 3,
      selected: pairs.map(({ id }) => id),
      unusable: [],
      withoutText: {},
    },
  ];
  begun.parts = parts;
  begun.finished = new Date().toISOString();
  await folder.saveRecord(begun);
}

async function reportOf(path: string, options: { readonly partial?: boolean } = {}): Promise<Analysis> {
  const { folder, record: found } = await ResultsFolder.existing(path);
  return analyse(folder, found, options);
}

/** All that a report shows. */
function content({
  record: of,
  accuracy,
  modules,
  heads,
  controls,
  attention,
  functions,
  noiseFloor,
}: Analysis): string {
  const shown = {
    of,
    accuracy,
    modules,
    heads,
    controls,
    attention,
    functions,
    floor: noiseFloor('ld_effect'),
  };
  return JSON.stringify(shown, (_, value) =>
    value instanceof Map ? [...value] : ArrayBuffer.isView(value) ? [...(value as Float32Array)] : value,
  );
}

async function errorOf(work: Promise<unknown>): Promise<NoticeError | undefined> {
  const error = await work.then(
    () => undefined,
    (found: unknown) => found,
  );
  if (error !== undefined) expect(error).toBeInstanceOf(NoticeError);
  return error as NoticeError | undefined;
}

/** A copy of the sound folder. */
async function copy(name: string): Promise<string> {
  const path = join(scratch, name);
  await rm(path, { recursive: true, force: true });
  await cp(sound, path, { recursive: true });
  return path;
}

test(`of ${DAMAGES} damaged folders none is reported or merged as if it were sound`, async () => {
  const random = new Random(16);
  const paths = (await readdir(sound, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(sound.length + 1))
    .sort();
  expect(paths.length).toBeGreaterThan(15);
  let refused = 0;
  let unharmed = 0;
  for (let trial = 0; trial < DAMAGES; trial++) {
    const path = await copy('damaged');
    const file = paths[random.integer(paths.length)] as string;
    const bytes = await readFile(join(path, file));
    const kind = ['flipped', 'cut', 'deleted'][random.integer(3)] as string;
    const at = random.integer(bytes.length);
    if (kind === 'deleted') await rm(join(path, file));
    else if (kind === 'cut') await truncate(join(path, file), at);
    else {
      bytes[at] = (bytes[at] as number) ^ (1 << random.integer(8));
      await writeFile(join(path, file), bytes);
    }
    const what = `${file} ${kind} at ${at}`;
    const merged = join(scratch, 'merged');
    await rm(merged, { recursive: true, force: true });
    for (const work of [
      async () => content(await reportOf(path)),
      async () => {
        const { folder, record: of } = await mergeResults([path], merged);
        expect(of.parts, what).toEqual(record.parts);
        return content({ ...(await analyse(folder, of)), record });
      },
    ]) {
      let shown: string | undefined;
      const error = await errorOf(work().then((text) => (shown = text)));
      if (error) {
        refused++;
        expect(error.message, what).toContain(basename(file).replace('.sha256', ''));
      } else {
        unharmed++;
        expect(shown === expected, what).toBe(true);
      }
    }
    if (file !== 'report.html') expect(await readdir(merged).catch(() => []), what).toEqual([]);
  }
  expect(refused).toBeGreaterThan(1.6 * DAMAGES);
  if (LONG) console.log('damaged', JSON.stringify({ draws: DAMAGES, refused, unharmed }));
}, 1_200_000);

describe('a report', () => {
  test('names every file that is damaged or missing, and in part says so in its first line', async () => {
    const path = await copy('faults');
    const { folder } = await ResultsFolder.existing(path);
    const [a = '', b = '', c = ''] = record.parts?.map(({ name }) => name) ?? [];
    await truncate(folder.partFile('cells', a), 100);
    await rm(folder.partFile('controls', b));
    await writeFile(folder.partFile('attention', c), '{');
    const files = [
      folder.partFile('cells', a),
      folder.partFile('controls', b),
      folder.partFile('attention', c),
    ];
    const error = await errorOf(reportOf(path));
    for (const file of files) expect(error?.message).toContain(`${file} is `);
    expect(error?.message).not.toContain('not finished');
    const partial = await reportOf(path, { partial: true });
    const line = reportHtml(partial, []).split('<body>')[1]?.trim().split('\n')[0];
    for (const file of files) expect(line).toContain(file);
    expect(partial.controls.map(({ sample }) => sample)).toEqual(record.parts?.[2]?.samples);
    expect(partial.noiseFloor('ld_effect')).toBeCloseTo(3e-6, 12);
    expect(partial.heads[0]?.samples).toHaveLength(1);
  });

  test('of nothing has no noise floor', async () => {
    const path = await copy('nothing');
    await rm(join(path, 'controls'), { recursive: true });
    const partial = await reportOf(path, { partial: true });
    expect(partial.noiseFloor('ld_effect')).toBeUndefined();
    expect(partial.heads).toEqual([]);
    expect(reportHtml(partial, [])).toContain('controls');
  });

  test('of a run that is not finished says that, and nothing of damage', async () => {
    const path = await copy('unfinished');
    const { folder, record: own } = await ResultsFolder.existing(path);
    const { finished: _, ...open } = own;
    await folder.saveRecord(open);
    const [first = ''] = await folder.parts('cells');
    await rm(folder.partFile('cells', first));
    await rm(folder.checksumFile('cells', first));
    const error = await errorOf(reportOf(path));
    expect(error?.message).toMatch(/not finished: 1 of 3 parts/);
    expect(error?.message).not.toMatch(/damaged|missing/);
    expect((await reportOf(path, { partial: true })).missing).toMatch(/not finished: 1 of 3/);
    await folder.saveRecord({ ...open, tasks: [], parts: undefined });
    expect((await reportOf(path, { partial: true })).missing).toMatch(/samples are not chosen/);
  });
});

test('a report is of the rows of the run: rows that have changed since, or gone, are named', async () => {
  const data = join(scratch, 'data/faces.csv');
  const path = await copy('moved');
  const { pairs } = await readManifest(MANIFEST);
  const { folder, record: own } = await ResultsFolder.existing(path);
  await folder.saveRecord({ ...own, settings: { ...own.settings, data: [data] } });
  const write = async (rows: typeof pairs) => {
    const inFolder = async (image: string) => {
      const to = join(scratch, 'data', basename(image));
      await cp(image, to);
      return to;
    };
    const moved = rows.map(async (pair) => ({
      ...pair,
      cleanImage: await inFolder(pair.cleanImage),
      corruptImage: await inFolder(pair.corruptImage),
    }));
    await writeManifest(data, await Promise.all(moved));
  };
  const few = pairs.slice(0, 5);
  await write(few);
  await reportOf(path);
  // Other rows, another order and other boxes are no matter.
  await write([few[4], few[2], few[1], few[0]].map((pair) => ({ ...pair!, metadata: undefined }) as never));
  await reportOf(path);
  await write(few.with(1, { ...few[1]!, category: 'other' }));
  const edited = await errorOf(reportOf(path));
  expect(edited?.message).toMatch(/faces\.csv has changed since the run: 1 of its 3 samples/);
  expect(edited?.message).toContain(few[1]!.id);
  await write(few.slice(2));
  expect((await errorOf(reportOf(path)))?.message).toContain(
    `2 of its 3 samples (${few[0]!.id}, ${few[1]!.id})`,
  );
});

test('attention is read one sample at a time', async () => {
  const asked = new Set<string>();
  let open = 0;
  const plain = ResultsFolder.prototype.attention;
  const spy = vi.spyOn(ResultsFolder.prototype, 'attention').mockImplementation(async function (
    this: ResultsFolder,
    part,
    sample,
  ) {
    expect(++open).toBe(1);
    asked.add(sample);
    const found = await plain.call(this, part, sample);
    open--;
    return found;
  });
  await reportOf(sound);
  spy.mockRestore();
  expect([...asked].sort()).toEqual(record.tasks[0]?.selected.toSorted());
});

test('what killed processes left half-written goes when a run is complete', async () => {
  const path = await copy('left');
  const { folder } = await ResultsFolder.existing(path);
  const whole = await filesOf(path);
  for (const place of ['cells', 'controls', 'attention', 'checksums', 'evaluation', '.'])
    await writeFile(join(path, place, 'x.0123.tmp'), 'half');
  const names = new Set(record.parts?.map(({ name }) => name));
  await folder.keepOnly(new Map((['cells', 'controls', 'attention'] as const).map((kind) => [kind, names])));
  expect(await filesOf(path)).toEqual(whole);
});

test('a merged folder has the bytes of its source', async () => {
  const out = join(scratch, 'whole');
  await mergeResults([sound], out);
  const { 'report.html': _, ...files } = await filesOf(sound);
  expect(await filesOf(out)).toEqual(files);
});

test('answers after a damaged one are still read, also with line breaks in cells', async () => {
  const { folder } = await ResultsFolder.open(join(scratch, 'answers'), () => newRecord(settings, details));
  const answers = ['a', 'b\r\nb', 'c"', 'd'].map((id) => ({
    ...{ id, category: 'x', correct: 'x', incorrect: 'y', answer: 'x', corruptAnswer: 'y' },
    ...{ cleanCorrect: true, corruptIncorrect: true, key: id },
  }));
  await folder.saveEvaluations('t', answers);
  const file = folder.file('evaluation', 't.csv');
  const text = await readFile(file, 'utf8');
  const said: string[] = [];
  for (const [found, put] of [
    ['\r\na,x', '\r\na,"'],
    ['true', 'trve'],
  ] as const) {
    await writeFile(file, text.replace(found, put));
    expect((await folder.evaluations('t', (what) => said.push(what))).map(({ id }) => id)).toEqual([
      'b\r\nb',
      'c"',
      'd',
    ]);
  }
  expect(said).toHaveLength(2);
  expect(said[0]).toContain(`${file} is damaged`);
});

test('of two processes that begin one folder at once with other settings, one is refused in words', async () => {
  const module = new URL('../../dist/notice/experiment/results.js', import.meta.url).href;
  const child = `
    const { newRecord, ResultsFolder } = await import(${JSON.stringify(module)});
    const [path, settings, at] = process.argv.slice(1);
    await new Promise((done) => setTimeout(done, Number(at) - Date.now()));
    try {
      const { folder } = await ResultsFolder.open(path, () => newRecord(JSON.parse(settings), ${JSON.stringify(details)}));
      for (let i = 0; i < 50; i++) await folder.write(['evaluation', 't.csv'], 'x'.repeat(200_000));
      console.log('opened');
    } catch (error) {
      console.log(error.code + ': ' + error.message);
    }`;
  for (let round = 0; round < long(1, 100); round++) {
    const path = join(scratch, `race${round}`);
    const race = (seeds: readonly number[]) => {
      const at = String(Date.now() + 1500);
      return Promise.all(
        seeds.map(async (seed) => {
          const args = ['--input-type=module', '-e', child, path, JSON.stringify({ ...settings, seed }), at];
          return (await promisify(execFile)(process.execPath, args)).stdout.trim();
        }),
      );
    };
    const said = (await race([1, 2])).sort();
    expect(said[0]).toBe('opened');
    expect(said[1]).toMatch(/^usage: .* holds an experiment with other settings \(seed: \d, now \d\)/);
    const { record: own } = await ResultsFolder.existing(path);
    const { seed } = own.settings;
    expect(await race([seed, seed])).toEqual(['opened', 'opened']);
  }
}, 1_200_000);
