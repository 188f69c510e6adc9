// Each compat switch of an experiment, on a case where it changes the result. Those of the sweep itself are compared with
// what the released code computes in test/patching.

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { CellRow } from '../../src/analysis/cell.ts';
import { loadModel, Processor, type VisionLanguageModel } from '../../src/models/index.ts';
import type { CompatSwitch } from '../../src/notice/compat.ts';
import { type Pair, readManifest } from '../../src/notice/datasets/index.ts';
import { analyse } from '../../src/notice/experiment/analyse.ts';
import { measure, measurements } from '../../src/notice/experiment/measure.ts';
import { preparePair } from '../../src/notice/experiment/prepare.ts';
import { newRecord, ResultsFolder } from '../../src/notice/experiment/results.ts';
import { defaultSites, type ExperimentSettings } from '../../src/notice/experiment/settings.ts';
import { writeTables } from '../../src/notice/experiment/tables.ts';
import { nodeFolder } from '../../src/platform/node/files.ts';
import { nodeImages } from '../../src/platform/node/images.ts';
import { testGpu } from '../support/gpu.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

async function open(name: string): Promise<{ model: VisionLanguageModel; processor: Processor }> {
  const source = nodeFolder(`${ROOT}weights/${name}`);
  const model = await loadModel(await testGpu(), source);
  return { model, processor: await Processor.load(model, source) };
}

function settingsOf(model: VisionLanguageModel, compat: readonly CompatSwitch[]): ExperimentSettings {
  return {
    model: 'test',
    data: [],
    samples: 1,
    select: 'first',
    corruptions: ['sip', 'str'],
    ...defaultSites(model),
    moduleSites: [],
    statistic: 'absolute',
    compat,
    seed: 0,
    noiseDraws: 1,
    noiseScale: 3,
    template: undefined,
  };
}

let pairs: readonly Pair[];
let blip: Awaited<ReturnType<typeof open>>;
let llava: Awaited<ReturnType<typeof open>>;
let scratch: string;
beforeAll(async () => {
  ({ pairs } = await readManifest(`${ROOT}data/states.csv`));
  blip = await open('blip-shapes');
  llava = await open('llava-shapes');
  scratch = await mkdtemp(join(tmpdir(), 'notice-compat-'));
});
afterAll(async () => {
  blip.model.destroy();
  llava.model.destroy();
  await rm(scratch, { recursive: true, force: true });
});

const prepare = ({ model, processor }: typeof blip, pair: Pair, ...compat: CompatSwitch[]) =>
  preparePair(model, processor, pair, { answer: pair.correct, compat, reader: nodeImages });

/** Heads of one pair. */
async function headCells(opened: typeof blip, pair: Pair, ...compat: CompatSwitch[]): Promise<CellRow[]> {
  const settings = settingsOf(opened.model, compat);
  const list = measurements(opened.model, settings, 'states', await prepare(opened, pair, ...compat), 0);
  return (await measure(opened.model, settings, list, 0)).rows;
}

const pick = (cells: readonly CellRow[], name: 'position' | 'ld_effect' | 'token' | 'role') =>
  cells.filter(({ corruption }) => corruption === 'sip').map((cell) => cell[name]);

test('heads are patched, attention is taken, at the option that the question offers', async () => {
  const [pair] = pairs as [Pair];
  const offered = {
    ...pair,
    cleanPrompt: 'is a ring or star inside the ring?',
    corruptPrompt: 'is a heart or cross inside the ring?',
    correct: 'ring',
    incorrect: 'star',
  };
  for (const opened of [blip, llava]) {
    const { prompt, answerPositions, headGroups, tokens, text } = await prepare(opened, offered);
    const role = (at: number) => tokens.find(({ position }) => position === at)?.role;
    const first = prompt.encoded.tokens.findIndex((token) => /^▁?ring$/.test(token));
    expect(answerPositions[0]).toBe(prompt.positions[first]);
    expect(answerPositions.map(role)).toEqual(answerPositions.map(() => 'correct'));
    expect(headGroups[0]?.positions).toEqual(answerPositions);
    expect(text).toBeDefined();
  }
});

test('row-before-answer: BLIP’s heads are patched one token before the answer', async () => {
  const [pair] = pairs as [Pair];
  const usual = await headCells(blip, pair);
  const compat = await headCells(blip, pair, 'row-before-answer');
  for (const token of pick(usual, 'token')) expect(pair.correct).toContain(token);
  expect(pick(compat, 'position')).toEqual(pick(usual, 'position').map((position) => Number(position) - 1));
  expect(pick(compat, 'ld_effect')).not.toEqual(pick(usual, 'ld_effect'));
  // Attention is looked at where the answer is.
  const { answerPositions } = await prepare(blip, pair, 'row-before-answer');
  expect(answerPositions).toEqual((await prepare(blip, pair)).answerPositions);
  // Only BLIP's.
  const groups = async (...names: CompatSwitch[]) => (await prepare(llava, pair, ...names)).headGroups;
  expect(await groups('row-before-answer')).toEqual(await groups());
});

describe('head-offset: LLaVA’s heads are patched 8 tokens behind the answer', () => {
  test('where there is such a token', async () => {
    const [found] = pairs as [Pair];
    const answer = (cells: readonly CellRow[]) => cells.filter(({ role }) => role !== 'last');
    const usual = answer(await headCells(llava, found));
    const compat = answer(await headCells(llava, found, 'head-offset'));
    expect(pick(compat, 'position')).toEqual(pick(usual, 'position').map((position) => Number(position) + 8));
    expect(pick(compat, 'ld_effect')).not.toEqual(pick(usual, 'ld_effect'));
  });

  test('where the prompt ends before, they are not patched at all', async () => {
    // Without "ASSISTANT:" the option stands near the end.
    const source = nodeFolder(`${ROOT}weights/llava-shapes`);
    const short = {
      ...llava,
      processor: await Processor.load(llava.model, source, 'USER: <image> {question}'),
    };
    const [found] = pairs as [Pair];
    const usual = await headCells(short, found);
    const compat = await headCells(short, found, 'head-offset');
    expect(new Set(pick(usual, 'role'))).toEqual(new Set(['correct', 'last']));
    expect(new Set(pick(compat, 'role'))).toEqual(new Set(['last']));
  });
});

test('answer-token: LLaVA’s answers are read at their last token', async () => {
  const { tokenizer } = llava.processor;
  const usual = await prepare(llava, longAnswer());
  const compat = await prepare(llava, longAnswer(), 'answer-token');
  expect(compat.correct).not.toBe(usual.correct);
  const ids = tokenizer.encode(longAnswer().correct, { specialTokens: false });
  expect(ids.length).toBeGreaterThan(1);
  expect(usual.correct).toBe(ids[0]);
  expect(compat.correct).toBe(ids.at(-1));
  // Where the model answers with a capital letter, the other option stays as the data set has it.
  const [pair] = pairs as [Pair];
  const capital = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
  const options = {
    answer: capital(pair.correct),
    compat: ['answer-token'] as const,
    reader: nodeImages,
  };
  const written = await preparePair(llava.model, llava.processor, pair, options);
  const last = (text: string) => tokenizer.encode(text, { specialTokens: false }).at(-1);
  expect(last(pair.incorrect)).not.toBe(last(capital(pair.incorrect)));
  expect(written.correct).toBe(last(capital(pair.correct)));
  expect(written.incorrect).toBe(last(pair.incorrect));
  // BLIP's are read at the first in both.
  expect(await prepare(blip, longAnswer(), 'answer-token')).toMatchObject({
    correct: (await prepare(blip, longAnswer())).correct,
  });
});

/** A pair whose correct option has several tokens. */
function longAnswer(): Pair {
  const [pair] = pairs as [Pair];
  const word = `${pair.correct}${pair.incorrect}`;
  return { ...pair, correct: word, cleanPrompt: pair.cleanPrompt.replace(pair.correct, word) };
}

test('unmasked-padding: BLIP’s shorter question is padded, and padding is attended to', async () => {
  const [pair] = pairs as [Pair];
  const longer = { ...pair, corruptPrompt: pair.corruptPrompt.replace('?', ' or so?') };
  const { text, textProblem, clean } = await prepare(blip, longer);
  expect(text).toBeUndefined();
  expect(textProblem).toMatch(/has \d+ tokens and/);
  expect((await headCells(blip, longer)).filter(({ corruption }) => corruption === 'str')).toEqual([]);

  const padded = await prepare(blip, longer, 'unmasked-padding');
  const padding = blip.processor.tokenizer.tokenToId('[PAD]');
  const { ids } = blip.processor.prompt(longer.corruptPrompt);
  const missing = ids.length - clean.ids.length;
  expect(missing).toBeGreaterThan(0);
  expect(padded.text?.clean.ids).toEqual([...clean.ids, ...new Array(missing).fill(padding)]);
  expect(padded.text?.corrupt.ids).toEqual(ids);
  const cells = (await headCells(blip, longer, 'unmasked-padding')).filter((c) => c.corruption === 'str');
  expect(cells).toHaveLength(16);
  // The padded clean run is another than that of the same question without padding.
  const [unpadded] = (await headCells(blip, pair)).filter(({ corruption }) => corruption === 'str');
  expect(cells[0]?.ld_clean).not.toBe(unpadded?.ld_clean);
  // LLaVA's questions are never padded.
  expect((await prepare(llava, longer, 'unmasked-padding')).text).toBeUndefined();
});

describe('of the tables', () => {
  /** Tables of three samples, of which one has no effect to normalise: its counterpart image is the image itself. */
  async function heads(...compat: CompatSwitch[]): Promise<Record<string, string>[]> {
    const settings = settingsOf(blip.model, compat);
    const details = {
      version: 'test',
      model: { family: 'blip', answers: blip.model.answers, weightBytes: 0, towers: blip.model.towers },
      adapter: 'test',
    };
    const path = join(scratch, compat.join('+') || 'default');
    const { folder, record } = await ResultsFolder.open(path, () => newRecord(settings, details));
    record.parts = [{ name: '0000000-test', task: 'faces', samples: [] }];
    await folder.writeCells('0000000-test', cells, []);
    await writeTables(folder, await analyse(folder, record, { partial: true }));
    const rows = parse(await readFile(folder.file('tables', 'heads.csv'), 'utf8'), { columns: true });
    return (rows as Record<string, string>[]).filter(({ category }) => category === 'all');
  }
  const column = (rows: Record<string, string>[], name: string) => rows.map((row) => Number(row[name]));
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;

  let cells: CellRow[];
  let usual: Record<string, string>[];
  beforeAll(async () => {
    const [a, b, c] = pairs as [Pair, Pair, Pair];
    cells = [];
    for (const pair of [a, b, { ...c, corruptImage: c.cleanImage }])
      cells.push(...(await headCells(blip, pair)).filter(({ corruption }) => corruption === 'sip'));
    usual = await heads();
  });
  const of = (row: Record<string, string>) =>
    cells.filter(({ layer, head }) => layer === Number(row.layer) && head === Number(row.head));

  test('score-p: heads are measured by P′', async () => {
    const compat = await heads('score-p');
    for (const row of compat) expect(Number(row.mean)).toBeCloseTo(mean(of(row).map((c) => c.p_patched)), 6);
    expect(column(compat, 'mean')).not.toEqual(column(usual, 'mean'));
  });

  test('nan-to-zero: an undefined normalised effect counts as 0', async () => {
    const compat = await heads('nan-to-zero');
    for (const [i, row] of compat.entries()) {
      const defined = of(row).flatMap(({ normalized }) => (normalized === null ? [] : [normalized]));
      expect(defined).toHaveLength(2);
      expect(usual[i]).toMatchObject({ normalized_undefined: '1' });
      expect(Number(usual[i]?.normalized_mean)).toBeCloseTo(mean(defined), 6);
      expect(row).toMatchObject({ normalized_undefined: '0' });
      expect(Number(row.normalized_mean)).toBeCloseTo(mean([...defined, 0]), 6);
    }
  });
});
