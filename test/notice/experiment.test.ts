// A small experiment from data to report, on the embedded model.

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { parseHTML } from 'linkedom';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CellRow } from '../../src/analysis/cell.ts';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import { type Analysis, analyse } from '../../src/notice/experiment/analyse.ts';
import { drawFigures, writeFigures } from '../../src/notice/experiment/figures.ts';
import { readInputs } from '../../src/notice/experiment/inputs.ts';
import { beginFrom, mergeResults } from '../../src/notice/experiment/merge.ts';
import type { Shard, ShardRecord } from '../../src/notice/experiment/record.ts';
import { newRecord, ResultsFolder, type RunRecord } from '../../src/notice/experiment/results.ts';
import { type RunOptions, runExperiment } from '../../src/notice/experiment/run.ts';
import { defaultSites, type ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { printSummary } from '../../src/notice/experiment/summary.ts';
import { writeTables } from '../../src/notice/experiment/tables.ts';
import { CORRUPTION_NAMES } from '../../src/notice/experiment/titles.ts';
import { reportHtml } from '../../src/notice/report/report.ts';
import { formatNumber } from '../../src/notice/tables/format.ts';
import { readCells } from '../../src/notice/tables/parquet.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { testGpu } from '../support/gpu.ts';
import { filesOf } from '../support/results.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const HOSTILE = '<script>alert("x")</script>';

let model: VisionLanguageModel;
let processor: Processor;
let settings: ExperimentSettings;
let scratch: string;
let folder: ResultsFolder;
let record: RunRecord;
let analysis: Analysis;

function details(): Pick<RunRecord, 'version' | 'model' | 'adapter'> {
  return {
    version: 'test',
    model: {
      family: model.family,
      answers: model.answers,
      weightBytes: model.weightBytes,
      towers: model.towers,
    },
    adapter: 'test',
  };
}

async function options(of = settings): Promise<RunOptions> {
  return { ...(await readInputs(of)), model, modelDigest: 'test', processor };
}

async function cellsOf(results: ResultsFolder): Promise<CellRow[]> {
  const rows: CellRow[] = [];
  for (const part of await results.parts('cells'))
    for await (const row of readCells(results.partFile('cells', part))) rows.push(row);
  return rows;
}

beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'notice-experiment-'));
  const source = await nodeFolder(`${ROOT}weights/blip-shapes`);
  model = await loadModel(await testGpu(), source);
  processor = await Processor.load(model, source);
  // A dozen pairs of two tasks; one category is an attempt to break out of the report's markup.
  for (const task of ['scenes', 'states']) {
    await cp(`${ROOT}data/${task}`, join(scratch, task), { recursive: true });
    const lines = (await readFile(`${ROOT}data/${task}.csv`, 'utf8')).trim().split('\n').slice(0, 13);
    const csv = lines.map((line) => line.replace(/,relation$/, `,"${HOSTILE.replaceAll('"', '""')}"`));
    await writeFile(join(scratch, `${task}.csv`), `${csv.join('\n')}\n`);
    const metadata = (await readFile(`${ROOT}data/scenes.jsonl`, 'utf8')).split('\n');
    const own = metadata.filter((line) => line.includes(`"task":"${task}"`)).slice(0, 12);
    await writeFile(
      join(scratch, `${task}.jsonl`),
      own
        .map((line) => line.replace('"category":"relation"', `"category":${JSON.stringify(HOSTILE)}`))
        .join('\n'),
    );
  }
  settings = {
    model: `${ROOT}weights/blip-shapes`,
    data: ['scenes', 'states'].map((task) => join(scratch, `${task}.csv`)),
    samples: 7,
    select: 'first',
    corruptions: ['sip', 'str', 'noise'],
    ...defaultSites(model),
    statistic: 'absolute',
    compat: [],
    seed: 3,
    noiseDraws: 2,
    noiseScale: 3,
    template: undefined,
  };
  ({ folder, record } = await ResultsFolder.open(join(scratch, 'results'), () =>
    newRecord(settings, details()),
  ));
  expect(await runExperiment(settings, folder, record, await options())).toBe(true);
  analysis = await analyse(folder, record);
  await writeTables(folder, analysis);
  await writeFigures(folder, await drawFigures(analysis));
}, 300_000);

afterAll(() => rm(scratch, { recursive: true, force: true }));

test('measures every corruption, site, layer, token and head of every sample', async () => {
  const cells = await cellsOf(folder);
  const { selected } = record.tasks[0] ?? { selected: [] };
  expect(selected).toHaveLength(7);
  const sample = selected[0];
  const of = (corruption: string) =>
    cells.filter((cell) => cell.sample === sample && cell.corruption === corruption);
  const tokens = new Set(
    of('sip')
      .filter(({ head }) => head === null)
      .map(({ position }) => position),
  ).size;
  expect(of('sip')).toHaveLength(3 * 4 * tokens + 16);
  expect(of('str')).toHaveLength(3 * 4 * tokens + 16);
  expect(of('noise')).toHaveLength(2 * (3 * 4 * tokens + 16));
  for (const { p_patched, p_effect, p_corrupt, ld_effect, normalized, ld_clean, ld_corrupt } of cells) {
    // All four are rounded to f32; the differences lose what the larger terms had.
    expect(p_patched - p_corrupt).toBeCloseTo(p_effect, 5);
    if (normalized !== null) expect(normalized * (ld_clean - ld_corrupt)).toBeCloseTo(ld_effect, 4);
  }
});

test('tables can be traced to Parquet cells', async () => {
  const cells = await cellsOf(folder);
  const heads = parse(await readFile(folder.file('tables', 'heads.csv'), 'utf8'), {
    columns: true,
  }) as Record<string, string>[];
  expect(heads.filter(({ category }) => category === 'all')).toHaveLength(2 * 3 * 16);
  for (const row of heads.filter((_, i) => i % 5 === 0)) {
    const own = cells.filter(
      (cell) =>
        cell.task === row.task &&
        (row.category === 'all' || cell.category === row.category) &&
        cell.corruption === row.corruption &&
        cell.layer === Number(row.layer) &&
        cell.head === Number(row.head),
    );
    const bySample = new Map<string, number[]>();
    for (const cell of own) bySample.set(cell.sample, [...(bySample.get(cell.sample) ?? []), cell.ld_effect]);
    const effects = [...bySample.values()].map((draws) => draws.reduce((a, b) => a + b, 0) / draws.length);
    expect(Number(row.n)).toBe(effects.length);
    expect(Number(row.mean)).toBeCloseTo(effects.reduce((a, b) => a + b, 0) / effects.length, 6);
  }
  const thresholds = parse(await readFile(folder.file('tables', 'head_thresholds.csv'), 'utf8'), {
    columns: true,
  }) as Record<string, string>[];
  for (const { mean, sd, threshold } of thresholds)
    expect(Number(threshold)).toBeCloseTo(Number(mean) + 2 * Number(sd), 10);
});

describe('the report', () => {
  test('holds every figure, and data set text only as text', async () => {
    const figures = await drawFigures(analysis);
    const names = figures.map(({ name }) => name);
    for (const name of [
      'accuracy',
      'heads',
      'modules-sip',
      'modules-str',
      'modules-noise',
      'corruptions-scenes',
      'overlays-states',
    ])
      expect(names).toContain(name);
    const page = reportHtml(analysis, figures);
    for (const name of names) expect(page).toContain(`<figure id="figure-${name}"`);
    expect(page.match(/<script/g)).toHaveLength(1); // the page's own
    expect(page).toContain('&lt;script&gt;');
    expect(page).not.toMatch(/(src|href)="(?!#|data:)/);
  });

  test('its numbers come from Parquet cells', async () => {
    const { document } = parseHTML(reportHtml(analysis, []));
    /** Texts of the cells of a table, row by row. */
    const rowsOf = (caption: string): string[][] => {
      const table = [...document.querySelectorAll('table')].find(
        (found) => found.querySelector('caption')?.textContent === caption,
      );
      return [...(table?.querySelectorAll('tbody tr') ?? [])].map((row) =>
        [...row.querySelectorAll('td')].map(({ textContent }) => textContent ?? ''),
      );
    };
    const cells = await cellsOf(folder);
    /** Mean effect and mean size of one head, draws of noise averaged first. */
    const headOf = (task: string, corruption: string, head: string): { mean: number; size: number } => {
      const [, layer, number] = /^L(\d+)\.H(\d+)$/.exec(head) ?? [];
      const samples = new Map<string, number[]>();
      for (const cell of cells) {
        if (cell.task !== task || cell.corruption !== corruption) continue;
        if (cell.layer !== Number(layer) || cell.head !== Number(number)) continue;
        samples.set(cell.sample, [...(samples.get(cell.sample) ?? []), cell.ld_effect]);
      }
      const effects = [...samples.values()].map(average);
      return { mean: average(effects), size: average(effects.map(Math.abs)) };
    };
    const average = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    const keys = new Map(Object.entries(CORRUPTION_NAMES).map(([key, name]) => [name as string, key]));

    const strongest = rowsOf('Strongest heads');
    expect(strongest).toHaveLength(2 * 3 * 5);
    const effectsTable: Record<string, string>[] = parse(
      await readFile(folder.file('tables', 'heads.csv'), 'utf8'),
      { columns: true },
    );
    for (const [task = '', corruption = '', , head = '', ...numbers] of strongest) {
      const { mean, size } = headOf(task, keys.get(corruption) ?? '', head);
      const row = effectsTable.find(
        (one) =>
          one.category === 'all' &&
          one.task === task &&
          one.corruption === keys.get(corruption) &&
          `L${one.layer}.H${one.head}` === head,
      );
      const [low, high] = [row?.ci95_low, row?.ci95_high].map((value) => formatNumber(Number(value)));
      const [shownSize, shownMean, n] = [size, mean, 7].map((value) => formatNumber(value));
      expect(numbers).toEqual([shownSize, shownMean, `${low} to ${high}`, n]);
    }

    const correlations = rowsOf('Rank correlation (Spearman) of head scores between corruptions');
    const table: Record<string, string>[] = parse(
      await readFile(folder.file('tables', 'head_correlations.csv'), 'utf8'),
      { columns: true },
    );
    expect(table.map((row) => Number(row.spearman).toPrecision(3)).map(Number)).toEqual(
      correlations.map((row) => Number(row.at(-1)?.replaceAll('−', '-'))),
    );
    expect(table).toHaveLength(2 * 3);
    for (const { task = '', corruption = '', other_corruption = '', spearman } of table) {
      const ranks = [corruption, other_corruption].map((name) => {
        const labels = Array.from({ length: 16 }, (_, i) => `L${i >> 2}.H${i % 4}`);
        const sizes = labels.map((head) => headOf(task, name, head).size);
        return sizes.map((size) => sizes.filter((other) => other < size).length);
      }) as [number[], number[]];
      // No two of 16 sizes are equal, so the formula without ties holds.
      expect(new Set(ranks[0]).size).toBe(16);
      const squares = ranks[0].map((rank, i) => (rank - (ranks[1][i] ?? 0)) ** 2);
      const rho = 1 - (6 * squares.reduce((a, b) => a + b)) / (16 * (16 ** 2 - 1));
      expect(Number(spearman)).toBeCloseTo(rho, 10);
    }
  });

  test('the summary says what was found', () => {
    const text = printSummary(analysis);
    expect(text).toContain('scenes');
    expect(text).toMatch(/Self-checks: \d+ null patches exactly 0/);
  });
});

test('a stopped or damaged experiment goes on, says what was damaged, and ends in the same bytes', async () => {
  const before = await filesOf(folder.path);
  const [first = '', second = '', third = ''] = await folder.parts('cells');
  await rm(folder.partFile('cells', first));
  for (const file of [
    folder.partFile('cells', second),
    folder.partFile('controls', third),
    folder.file('evaluation', 'states.csv'),
  ]) {
    const bytes = await readFile(file);
    const at = bytes.length >> 1;
    bytes[at] = (bytes[at] as number) ^ 4;
    await writeFile(file, bytes);
  }
  await expect(analyse(folder, record)).rejects.toThrow(/cells-.* is missing; .*cells-.* is damaged/);
  const again = await ResultsFolder.open(folder.path, () => newRecord(settings, details()));
  const lines: string[] = [];
  const log = (line: string) => lines.push(line);
  const outcome = await runExperiment(settings, again.folder, again.record, { ...(await options()), log });
  expect(outcome).toBe(true);
  expect(await filesOf(folder.path)).toEqual(before);
  for (const name of [
    `cells-${second}.parquet is damaged`,
    `${third}.json is damaged`,
    'states.csv is damaged',
  ])
    expect(lines.some((line) => line.includes(name))).toBe(true);
});

test('a results folder of another experiment is not continued', async () => {
  const other = { ...settings, samples: 3 };
  await expect(ResultsFolder.open(folder.path, () => newRecord(other, details()))).rejects.toThrow(
    /samples: 7, now 3/,
  );
});

test('shards answer, select and measure what one run does, to the byte', async () => {
  const small = {
    ...settings,
    corruptions: ['sip', 'noise'] as const,
    noiseDraws: 1,
    moduleSites: [],
    select: 'balanced' as const,
    samples: 2,
  };
  const work = async (out: string, more: Partial<RunOptions> = {}) => {
    const opened = await ResultsFolder.open(join(scratch, out), () => newRecord(small, details()));
    const complete = await runExperiment(small, opened.folder, opened.record, {
      ...(await options(small)),
      ...more,
    });
    return { ...opened, complete };
  };
  const whole = await work('whole');
  expect(whole.complete).toBe(true);

  // Two that share a folder without shards.
  const both = await Promise.all([work('together'), work('together')]);
  expect(both.map(({ complete }) => complete)).toEqual([true, true]);
  expect(await filesOf(join(scratch, 'together'))).toEqual(await filesOf(whole.folder.path));

  const shards = [1, 2].map((index) => ({ index, count: 2 }));
  const [first, second] = shards as [Shard, Shard];
  const answers = shards.map(({ index }) => join(scratch, `answers${index}`));
  await work('answers1', { shard: first, until: 'evaluate' });
  await expect(mergeResults(answers.slice(0, 1), join(scratch, 'some'))).rejects.toThrow(
    /shard 2\/2 of the questions is missing/,
  );
  await expect(work('answers1', { shard: second, until: 'evaluate' })).rejects.toThrow(
    /holds shard 1\/2 of the questions, not shard 2\/2/,
  );
  await work('answers2', { shard: second, until: 'evaluate' });
  const joined = join(scratch, 'joined');
  expect((await mergeResults(answers, joined)).complete).toBe(false);
  await expect(work('part1', { shard: first })).rejects.toThrow(/name it by --from/);
  await rm(join(scratch, 'part1'), { recursive: true });

  const from = async (index: number) => {
    const path = join(scratch, `part${index}`);
    await beginFrom(joined, await ResultsFolder.open(path, () => newRecord(small, details())));
    return path;
  };
  await expect(from(1)).rejects.toThrow(/no samples are chosen in .*joined yet/);
  await rm(join(scratch, 'part1'), { recursive: true });
  await work('joined', { until: 'select' });
  const parts = [await from(1), await from(2)];
  await expect(mergeResults([answers[0] as string, parts[1] as string], joined)).rejects.toThrow(
    /answers1 holds shard 1\/2 of the questions, but .*part2 holds/,
  );
  for (const shard of shards) expect((await work(`part${shard.index}`, { shard })).complete).toBe(false);
  await expect(mergeResults(parts.slice(1), join(scratch, 'half'))).rejects.toThrow(
    /shard 1\/2 of the measurements is missing/,
  );
  // One that was ended: its samples are named.
  const { record: known, folder: part1 } = await ResultsFolder.existing(parts[0] as string);
  const [lost] = await part1.parts('controls');
  await part1.saveRecord({ ...known, shard: { ...(known.shard as ShardRecord), done: false } });
  for (const file of [part1.partFile('controls', lost ?? ''), part1.checksumFile('controls', lost ?? '')])
    await rm(file);
  const sample = known.parts?.find(({ name }) => name === lost)?.samples[0];
  await expect(mergeResults(parts, join(scratch, 'half'))).rejects.toThrow(
    new RegExp(`part1 is not done: of its \\d parts 1 lack results, samples .*${sample}`),
  );
  await work('part1', { shard: first });
  expect((await mergeResults(parts, join(scratch, 'merged'))).complete).toBe(true);
  expect(await filesOf(join(scratch, 'merged'))).toEqual(await filesOf(whole.folder.path));
  await mergeResults(parts, joined);
  expect(await filesOf(joined)).toEqual(await filesOf(whole.folder.path));
});
