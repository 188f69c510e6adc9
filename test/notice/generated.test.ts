// Generated counterpart images as a corruption beside the real ones.

import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CellRow } from '../../src/analysis/cell.ts';
import { loadModel, Processor } from '../../src/models/index.ts';
import { type Pair, readManifest } from '../../src/notice/datasets/index.ts';
import { analyse } from '../../src/notice/experiment/analyse.ts';
import { generatedImages } from '../../src/notice/experiment/generated.ts';
import { readInputs } from '../../src/notice/experiment/inputs.ts';
import { newRecord, ResultsFolder } from '../../src/notice/experiment/results.ts';
import { runExperiment } from '../../src/notice/experiment/run.ts';
import { defaultSites, type ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { correlationRows } from '../../src/notice/experiment/tables.ts';
import { reportHtml } from '../../src/notice/report/report.ts';
import { readCells } from '../../src/notice/tables/parquet.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { smallManifest } from '../cli/support.ts';
import { testGpu } from '../support/gpu.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

let scratch: string;
let pairs: readonly Pair[];
/** A folder with an image for the first pair alone: the third's counterpart. */
let folder: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'notice-generated-'));
  await smallManifest(scratch, 'states', 4);
  ({ pairs } = await readManifest(join(scratch, 'states.csv')));
  folder = join(scratch, 'inpainted');
  await mkdir(folder);
  const [first, , third] = pairs as [Pair, Pair, Pair];
  await copyFile(third.corruptImage, join(folder, `${first.id}.png`));
});
afterAll(() => rm(scratch, { recursive: true, force: true }));

test('a run measures them for the samples that have one, and names the others', async () => {
  const source = nodeFolder(`${ROOT}weights/blip-shapes`);
  const model = await loadModel(await testGpu(), source);
  const settings: ExperimentSettings = {
    model: 'test',
    data: [join(scratch, 'states.csv')],
    samples: 2,
    select: 'first',
    corruptions: ['sip', 'generated'],
    generated: folder,
    ...defaultSites(model),
    moduleSites: [],
    statistic: 'absolute',
    compat: [],
    seed: 0,
    noiseDraws: 1,
    noiseScale: 3,
    template: undefined,
  };
  const details = {
    version: 'test',
    model: { family: 'blip', weightBytes: 0, towers: model.towers },
    adapter: 'test',
  };
  const { folder: results, record } = await ResultsFolder.open(join(scratch, 'results'), () =>
    newRecord(settings, details),
  );
  await runExperiment(settings, results, record, {
    ...(await readInputs(settings)),
    model,
    modelDigest: 'test',
    processor: await Processor.load(model, source),
  });
  model.destroy();

  const cells: CellRow[] = [];
  for (const part of await results.parts('cells'))
    for await (const cell of readCells(results.partFile('cells', part))) cells.push(cell);
  const [first, second] = record.tasks[0]?.selected ?? [];
  const of = (sample: string | undefined, corruption: string) =>
    cells.filter((cell) => cell.sample === sample && cell.corruption === corruption);
  expect(of(first, 'sip')).toHaveLength(16);
  expect(of(second, 'sip')).toHaveLength(16);
  expect(of(first, 'generated')).toHaveLength(16);
  expect(of(second, 'generated')).toEqual([]);
  expect(of(first, 'generated')[0]?.ld_clean).toBe(of(first, 'sip')[0]?.ld_clean);
  expect(of(first, 'generated')[0]?.ld_corrupt).not.toBe(of(first, 'sip')[0]?.ld_corrupt);

  expect(record.tasks[0]?.withoutGenerated).toEqual([second]);
  const analysis = await analyse(results, record);
  expect(correlationRows(analysis)).toMatchObject([{ corruptions: ['sip', 'generated'], heads: 16 }]);
  expect(reportHtml(analysis, [])).toContain(`no generated counterpart of ${second}.`);
}, 120_000);

test('without a folder: the corrupt images of manifests made of generated ones', async () => {
  const made = pairs.slice(0, 2).map((pair) => ({ ...pair, metadata: { generated: true } }));
  const images = await generatedImages('states', made, { corruptions: ['generated'] });
  expect([...images]).toEqual(made.map(({ id, corruptImage }) => [id, corruptImage]));
  await expect(generatedImages('states', made, { corruptions: ['sip', 'generated'] })).rejects.toThrow(
    /would be the same/,
  );
  await expect(generatedImages('states', pairs, { corruptions: ['generated'] })).rejects.toThrow(
    /none of the 4 pairs has a generated counterpart/,
  );
  expect((await generatedImages('states', made, { corruptions: ['sip'] })).size).toBe(0);
});
