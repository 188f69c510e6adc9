// The experiment as a ledger: what cannot be used is left out and named, what was computed stands under its content.

import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'csv-stringify/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import { readManifest } from '../../src/notice/datasets/index.ts';
import type { KeyedEvaluation } from '../../src/notice/experiment/answers.ts';
import { readInputs } from '../../src/notice/experiment/inputs.ts';
import { changedInputs, keyedInputs, type RunInputs } from '../../src/notice/experiment/keys.ts';
import { newRecord, ResultsFolder, type RunRecord } from '../../src/notice/experiment/results.ts';
import { type RunOptions, runExperiment } from '../../src/notice/experiment/run.ts';
import { defaultSites, type ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { asFloat32, filesFolder, writeSafetensors } from '../../src/weights/index.ts';
import { tensorsOf } from '../cli/support.ts';
import { testGpu } from '../support/gpu.ts';
import { long } from '../support/long.ts';
import { Random } from '../support/random.ts';
import { filesOf } from '../support/results.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const SHAPES = `${ROOT}weights/blip-shapes`;
const COLUMNS = [
  'clean_image_path',
  'corrupt_image_path',
  'clean_prompt',
  'corrupt_prompt',
  'correct_answer',
  'incorrect_answer',
  'category',
];

/** Cells of a manifest's row, in the columns' order. */
type Row = [
  clean: string,
  corrupt: string,
  prompt: string,
  corruptPrompt: string,
  correct: string,
  incorrect: string,
  category: string,
];

let scratch: string;
let model: VisionLanguageModel;
let processor: Processor;
/** Rows of the embedded faces, which the model answers well. */
let faces: Row[];
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'notice-ledger-'));
  const source = nodeFolder(SHAPES);
  model = await loadModel(await testGpu(), source);
  processor = await Processor.load(model, source);
  const lines = (await readFile(`${ROOT}data/faces.csv`, 'utf8')).trim().split('\n').slice(1);
  faces = lines.map((line) => line.split(',') as Row);
});
afterAll(async () => {
  model.destroy();
  await rm(scratch, { recursive: true, force: true });
});

/** A folder `name` with a manifest `name.csv` of these rows, and the images of the embedded faces. */
async function manifest(name: string, rows: readonly (readonly string[])[]): Promise<string> {
  const folder = join(scratch, name);
  await cp(`${ROOT}data/faces`, join(folder, 'faces'), { recursive: true });
  await writeFile(join(folder, `${name}.csv`), stringify([COLUMNS, ...rows]));
  return join(folder, `${name}.csv`);
}

function settingsFor(file: string, more: Partial<ExperimentSettings> = {}): ExperimentSettings {
  return {
    model: SHAPES,
    data: [file],
    samples: 4,
    select: 'balanced',
    corruptions: ['sip'],
    ...defaultSites(model),
    moduleSites: [],
    statistic: 'absolute',
    compat: [],
    seed: 0,
    noiseDraws: 1,
    noiseScale: 3,
    template: undefined,
    ...more,
  };
}

async function work(
  settings: ExperimentSettings,
  out: string,
  more: Partial<RunOptions> = {},
): Promise<{ folder: ResultsFolder; record: RunRecord; lines: string[] }> {
  const details = {
    version: 'test',
    model: { family: model.family, weightBytes: 0, towers: model.towers },
    adapter: 'test',
  };
  const { folder, record } = await ResultsFolder.open(join(scratch, out), () => newRecord(settings, details));
  const lines: string[] = [];
  await runExperiment(settings, folder, record, {
    ...(await readInputs(settings)),
    model,
    modelDigest: 'test',
    processor,
    log: (line) => lines.push(line),
    ...more,
  });
  return { folder, record, lines };
}

const question = (correct: string, incorrect: string) => `is this person feeling ${correct} or ${incorrect}?`;

describe('pairs that cannot be used', () => {
  test('of every kind are left out, named in record and log, and the others measured', async () => {
    const good = faces.slice(0, 10);
    const [clean, corrupt, prompt, corruptPrompt, correct, incorrect] = faces[20] as Row;
    const bad: string[][] = [
      [clean, corrupt, prompt], // cell-count
      [clean, corrupt, '', corruptPrompt, correct, incorrect, 'empty'],
      ['faces/none.png', corrupt, prompt, corruptPrompt, correct, incorrect, 'image-missing'],
      ['faces/cut.png', corrupt, prompt, corruptPrompt, correct, incorrect, 'bad-image'],
      [clean, 'faces/text.png', prompt, corruptPrompt, correct, incorrect, 'bad-image'],
      [clean, corrupt, prompt, corruptPrompt, 'cross', incorrect, 'option-not-in-prompt'],
      // "stars" and "star" begin with the same token.
      [clean, corrupt, question('stars', 'star'), corruptPrompt, 'stars', 'star', 'answer-tokens'],
      [clean, corrupt, question('星', 'sad'), corruptPrompt, '星', 'sad', 'answer-tokens'],
      [clean, corrupt, `${'red '.repeat(600)}${prompt}`, corruptPrompt, correct, incorrect, 'too-long'],
      good[0] as Row, // duplicate-row
    ];
    const rows = [...good.slice(0, 5), ...bad, ...good.slice(5)];
    const file = await manifest('mixed', rows);
    const bytes = await readFile(`${ROOT}data/faces/000_clean.png`);
    await writeFile(join(scratch, 'mixed/faces/cut.png'), bytes.subarray(0, bytes.length / 2));
    await writeFile(join(scratch, 'mixed/faces/text.png'), 'no picture');

    const { record, lines, folder } = await work(settingsFor(file, { samples: 40 }), 'mixed-results');
    expect(record.finished).toBeDefined();
    const [task] = record.tasks;
    expect(task?.pairs).toBe(rows.length);
    expect(task?.unusable.map(({ reason }) => reason).sort()).toEqual(
      [
        ...['answer-tokens', 'answer-tokens', 'bad-image', 'bad-image', 'cell-count', 'duplicate-row'],
        ...['empty-field', 'image-missing', 'option-not-in-prompt', 'too-long'],
      ].sort(),
    );
    for (const { source, detail } of task?.unusable ?? [])
      expect(lines.some((line) => line.includes(source) && line.includes(detail))).toBe(true);
    // As many as stay balanced, which is said.
    expect(task?.selected.length).toBeGreaterThan(3);
    expect((task?.selected.length ?? 0) % 2).toBe(0);
    expect(lines.at(-1)).toMatch(
      /\d+ samples \(40 were asked for; as many as stay balanced .*; 10 left out$/,
    );
    expect((await folder.parts('cells')).length).toBeGreaterThan(0);
    expect(await readdir(folder.path)).not.toContain('claims');
  });

  test('if there are no others, the error counts the reasons', async () => {
    const bad = faces.slice(0, 3).map((row) => row.with(4, 'cross'));
    const file = await manifest('hopeless', bad);
    await expect(work(settingsFor(file), 'hopeless-results')).rejects.toThrow(
      /none of the 3 pairs can be a sample \(option-not-in-prompt 3\)/,
    );
  });
});

test('as many questions as the selection needs, or all, give the same samples', async () => {
  const file = await manifest('order', faces.slice(0, 24));
  const few = await work(settingsFor(file, { samples: 2 }), 'order-few', { until: 'select' });
  expect(few.record.tasks[0]?.asked).toBeLessThan(12);
  const all = await work(settingsFor(file, { samples: 2, evaluate: 'all' }), 'order-all', {
    until: 'select',
  });
  expect(all.record.tasks[0]).toMatchObject({ asked: 24, pairs: 24 });
  expect(all.record.tasks[0]?.selected).toEqual(few.record.tasks[0]?.selected);
  // Rows elsewhere do not move the draw.
  const [first, second] = few.record.tasks[0]?.selected ?? [];
  const { pairs } = await readManifest(file);
  const own = pairs.flatMap(({ id }, i) => (id === first || id === second ? [faces[i] as Row] : []));
  await manifest('order', [...own, ...faces.slice(50, 60)].reverse());
  const moved = await work(settingsFor(file, { samples: 2, evaluate: 'all' }), 'order-moved', {
    until: 'select',
  });
  const order = (await moved.folder.evaluations('order')).map(({ id }) => id);
  expect(order.indexOf(String(first)) < order.indexOf(String(second))).toBe(true);
});

test('a folder whose data or model changed ends in the bytes of a fresh one', async () => {
  const random = new Random(5);
  const settings = (file: string) => settingsFor(file, { corruptions: ['sip', 'noise'], samples: 2 });
  let rows = faces.slice(0, 8);
  const file = await manifest('edited', rows);
  let modelDigest = 'a';
  await work(settings(file), 'continued', { modelDigest });
  const edits = [
    () => {
      rows = rows.toSpliced(random.integer(rows.length), 1);
    },
    () => {
      rows = [...rows].reverse();
    },
    () => {
      // The options in the other order: the same question, another row.
      rows = rows.map((row, i) => (i % 2 ? row : row.with(2, question(row[5], row[4])))) as Row[];
    },
    () => {
      rows = [...rows, ...faces.slice(30, 33)];
    },
    async () => {
      // The bytes of all images change, not their names.
      for (const [clean, , , , , , category] of rows) {
        const other = faces.find((row) => row[6] === category && row[0] !== clean) as Row;
        await cp(`${ROOT}data/${other[0]}`, join(scratch, 'edited', clean));
      }
    },
    () => {
      modelDigest += 'b';
    },
  ];
  const trials = long(3, 20);
  for (let trial = 0; trial < trials; trial++) {
    // Two at once; the first ones are all of a kind.
    const chosen = [trial % edits.length, random.integer(edits.length)];
    for (const edit of chosen) await edits[edit]?.();
    await writeFile(file, stringify([COLUMNS, ...rows]));
    const out = `fresh${trial}`;
    await work(settings(file), 'continued', { modelDigest });
    await work(settings(file), out, { modelDigest });
    expect(await filesOf(join(scratch, 'continued')), `edits ${chosen}`).toEqual(
      await filesOf(join(scratch, out)),
    );
  }
});

test('what changed is said', async () => {
  const file = await manifest('said', faces.slice(0, 4));
  await work(settingsFor(file, { samples: 1 }), 'said-results', { until: 'select' });
  const { lines } = await work(settingsFor(file, { samples: 1 }), 'said-results', {
    until: 'select',
    modelDigest: 'another',
  });
  expect(lines[0]).toMatch(/the model's files changed: what hangs on that is computed anew/);
});

test('results of another image backend are not mixed, and older ones count as those of Pillow 12', async () => {
  const file = await manifest('backends', faces.slice(0, 6));
  const settings = settingsFor(file, { samples: 1 });
  const torchvision = await Processor.load(model, nodeFolder(SHAPES), undefined, 'torchvision');
  const first = await work(settings, 'backends-results');
  expect(first.record.inputs?.imageBackend).toBe('pil-12');
  const files = await filesOf(join(scratch, 'backends-results'));
  const other = await work(settings, 'backends-results', { processor: torchvision });
  expect(other.lines[0]).toMatch(/the image backend changed: what hangs on that is computed anew/);
  await work(settings, 'torchvision-results', { processor: torchvision });
  const fresh = await filesOf(join(scratch, 'torchvision-results'));
  expect(await filesOf(join(scratch, 'backends-results'))).toEqual(fresh);
  expect(fresh).not.toEqual(files);
  const { imageBackend: _, ...older } = first.record.inputs as RunInputs;
  expect(keyedInputs(first.record.inputs)).toEqual(older);
  expect(changedInputs(older, first.record.inputs as RunInputs)).toEqual([]);
  expect(changedInputs(older, other.record.inputs as RunInputs)).toEqual(['the image backend']);
});

test('answers come back as they were written, wherever the writing was cut off', async () => {
  const { folder } = await ResultsFolder.open(join(scratch, 'answers'), () =>
    newRecord(settingsFor('x.csv'), {
      version: 'test',
      model: { family: 'blip', weightBytes: 0, towers: [] },
      adapter: 'test',
    }),
  );
  const answers = ['-3 apples', '=1+1', "'quoted'", 'a "b", c', 'line\r\nbreak', '@x', 'ä\t', 'x\ny'].map(
    (id, i): KeyedEvaluation => ({
      ...{ id, category: 'c', correct: '+a', incorrect: '-b', answer: id, corruptAnswer: '' },
      ...{ cleanCorrect: i % 2 === 0, corruptIncorrect: true, key: `k${i}` },
    }),
  );
  await folder.addEvaluations('t', answers.slice(0, 5));
  await folder.addEvaluations('t', answers.slice(5));
  expect(await folder.evaluations('t')).toEqual(answers);
  const bytes = await readFile(folder.file('evaluation', 't.csv'));
  for (let end = 0; end <= bytes.length; end += 7) {
    await writeFile(folder.file('evaluation', 't.csv'), bytes.subarray(0, end));
    const kept = await folder.evaluations('t');
    expect(kept).toEqual(answers.slice(0, kept.length));
    await folder.addEvaluations('t', answers.slice(kept.length));
    expect(await folder.evaluations('t')).toEqual(answers);
  }
});

test('a model whose values are not finite ends the run, naming pair and hook point; what was measured stays', async () => {
  const file = await manifest('infinite', faces.slice(0, 6));
  await work(settingsFor(file, { samples: 2, select: 'first' }), 'infinite-results', { until: 'measure' });
  const tensors = await tensorsOf(join(SHAPES, 'model.safetensors'));
  const name = 'text_encoder.encoder.layer.2.output.dense.weight';
  const broken = new Map(
    [...tensors].map(([key, tensor]) => {
      const data = new Float32Array(asFloat32(tensor, key));
      if (key === name) data[0] = Number.NaN;
      return [key, { dtype: 'F32' as const, shape: tensor.shape, data }];
    }),
  );
  expect(broken.has(name)).toBe(true);
  const files = new Map<string, Blob>([
    ['model.safetensors', new Blob([writeSafetensors(broken) as BlobPart])],
  ]);
  for (const other of ['config.json', 'preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json'])
    files.set(other, new Blob([await readFile(join(SHAPES, other))]));
  const source = filesFolder(files);
  const bad = await loadModel(await testGpu(), source);
  try {
    const options = { model: bad, processor: await Processor.load(bad, source) };
    const pattern =
      /pair infinite-[0-9a-f]{8}, .*: values are not finite from text_encoder\.blocks\.2\.hook_mlp_out on/;
    // The questions are asked by a sound model, and the broken one sweeps; and all by the broken one.
    await expect(
      work(settingsFor(file, { samples: 2, select: 'first' }), 'broken-results', options),
    ).rejects.toThrow(pattern);
    const settings = settingsFor(file, { samples: 2, select: 'first' });
    const { folder } = await ResultsFolder.existing(join(scratch, 'infinite-results'));
    const [kept = ''] = await folder.parts('cells');
    await rm(folder.partFile('cells', kept));
    await expect(work(settings, 'infinite-results', options)).rejects.toThrow(pattern);
    expect(await folder.evaluations('infinite')).not.toEqual([]);
  } finally {
    bad.destroy();
  }
});

test('the stages know nothing of Node', async () => {
  const seen = new Set<string>();
  const visit = async (url: URL): Promise<void> => {
    if (seen.has(url.pathname)) return;
    seen.add(url.pathname);
    const text = await readFile(url, 'utf8');
    for (const [, what, target = ''] of text.matchAll(/^(?:import|export) ([^;]*?)from '([^']+)';/gms)) {
      if (what?.startsWith('type ')) continue;
      expect(target, `imported by ${url.pathname}`).not.toMatch(/^node:|^sharp$|platform\/node/);
      if (target.startsWith('.')) await visit(new URL(target, url));
    }
  };
  await visit(new URL('../../src/notice/experiment/run.ts', import.meta.url));
  expect(seen.size).toBeGreaterThan(20);
});
