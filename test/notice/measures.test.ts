// What modules and heads are measured by, in which unit the noise floor stands, and what is made of categories.

import { expect, test } from 'vitest';
import type { CellRow } from '../../src/analysis/cell.ts';
import { taskAccuracies } from '../../src/notice/experiment/accuracy.ts';
import { type Analysis, analyseCells } from '../../src/notice/experiment/analyse.ts';
import { drawFigures } from '../../src/notice/experiment/figures.ts';
import type { RunRecord } from '../../src/notice/experiment/results.ts';
import { accuracyTable, headRows, moduleRows } from '../../src/notice/experiment/tables.ts';
import { figureSvg } from '../../src/notice/plots/figure.ts';
import { reportHtml } from '../../src/notice/report/report.ts';
import { cell } from '../analysis/support.ts';

const SITE = 'language.attn.hook_z';
const CATEGORIES = ['subject', 'verb', 'object'];

/** Six samples in three categories; modules at two roles, 2 × 3 heads at the option and at the prompt's last token. */
const cells: CellRow[] = Array.from({ length: 6 }, (_, s) => {
  const of = { sample: `s${s}`, category: CATEGORIES[s % 3]!, site: SITE };
  const effect = (size: number) => ({ p_effect: size / 100, ld_effect: size, p_patched: 0.5 });
  return [0, 1].flatMap((layer) => [
    ...['correct', 'end'].map((role) => cell({ ...of, layer, role, ...effect(s + layer) })),
    ...['correct', 'last'].flatMap((role) =>
      [0, 1, 2].map((head) => cell({ ...of, layer, role, head, ...effect(head === 2 ? s + 5 : 0.1) })),
    ),
  ]);
}).flat();

const controls = [
  { sample: 's0', corruption: 'sip', noiseFloor: 2e-6, noiseFloorP: 3e-8, nullPatches: 2 },
  { sample: 's1', corruption: 'sip', noiseFloor: 1e-6, noiseFloorP: 5e-8, nullPatches: 2 },
] as const;

const defaults = { compat: [], statistic: 'absolute' } as const;

async function analysis(settings: Partial<RunRecord['settings']> = {}): Promise<Analysis> {
  const all = {
    ...{ ...defaults, model: 'models/llava', data: ['scenes.csv'], samples: 6, select: 'first', seed: 1 },
    ...{ corruptions: ['sip'], moduleSites: [SITE], headSite: SITE, noiseDraws: 1, noiseScale: 3 },
    ...settings,
  } as unknown as RunRecord['settings'];
  const record = {
    settings: all,
    model: { family: 'llava', weightBytes: 1, towers: [] },
    tasks: [{ task: 'scenes', pairs: 6, correct: 6, selected: ['s0'], withoutText: {} }],
  } as unknown as RunRecord;
  return {
    ...(await analyseCells(cells, controls, all)),
    record,
    accuracy: [],
    attentionPosition: 'last',
    attention: new Map(),
    functions: new Map(),
    pairs: new Map(),
    prompts: new Map(),
  };
}

test('modules are measured by P′ − P*, by choice by LD′ − LD*; heads by LD′ − LD*', async () => {
  for (const [measure, name, size] of [
    [undefined, 'restoration_probability', 0.025],
    ['probability', 'restoration_probability', 0.025],
    ['logit-difference', 'logit_difference', 2.5],
  ] as const) {
    const found = await analysis(measure ? { measure } : {});
    const [row] = moduleRows(found);
    expect(row).toMatchObject({ category: 'all', role: 'correct', layer: 0, n: 6 });
    expect(row!.mean).toBeCloseTo(size, 12);
    expect(row!.probability.mean).toBeCloseTo(0.025, 12);
    expect(row!.logitDifference.mean).toBeCloseTo(2.5, 12);
    const [figure] = (await drawFigures(found)).filter(({ name: file }) => file === 'modules-sip');
    expect(figureSvg(figure!.drawing)).toContain(
      name === 'logit_difference' ? 'LD′ − LD* (logits)' : 'P′ − P* (probability)',
    );
    for (const head of headRows(found).filter((entry) => entry.head === 2 && entry.category === 'all'))
      expect(head.mean).toBeCloseTo(7.5, 12);
  }
});

test("under score-p both are P', as in the released code", async () => {
  const found = await analysis({ compat: ['score-p'], measure: 'logit-difference' });
  expect([found.moduleMetric, found.headMetric]).toEqual(['p_patched', 'p_patched']);
});

test('each measure has the noise floor of its own unit, the largest of all controls', async () => {
  const { noiseFloor } = await analysis();
  expect(noiseFloor('ld_effect')).toBe(2e-6);
  expect(noiseFloor('p_effect')).toBe(5e-8);
  expect(noiseFloor('p_patched')).toBe(5e-8);
  const none = await analyseCells(cells, [], defaults);
  expect(none.noiseFloor('ld_effect')).toBeUndefined();
  const older = controls.map(({ noiseFloorP: _, ...rest }) => rest) as never;
  expect((await analyseCells(cells, older, defaults)).noiseFloor('p_effect')).toBeUndefined();

  const figures = await drawFigures(await analysis());
  const floorOf = (name: string) =>
    /Noise floor: ([^ ]+)\./.exec(figureSvg(figures.find((f) => f.name === name)!.drawing))?.[1];
  expect(floorOf('modules-sip')).toBe('5e−8');
  expect(floorOf('heads')).toBe('2e−6');
});

test('tables and figures of modules and heads by category, all beside them', async () => {
  const found = await analysis();
  const categories = ['all', 'object', 'subject', 'verb'];
  const counts = (rows: readonly { category: string; n: number }[]) =>
    categories.map((name) => [
      name,
      new Set(rows.filter(({ category }) => category === name).map(({ n }) => n)),
    ]);
  const expected = categories.map((name) => [name, new Set([name === 'all' ? 6 : 2])]);
  expect(counts(moduleRows(found))).toEqual(expected);
  expect(counts(headRows(found))).toEqual(expected);
  const verb = moduleRows(found).find(({ category, layer }) => category === 'verb' && layer === 0);
  expect(verb!.mean).toBeCloseTo((0.01 + 0.04) / 2, 12);
  expect(verb!.logitDifference.mean).toBeCloseTo(2.5, 12);

  const figures = await drawFigures(found);
  const byCategory = figures.find(({ name }) => name === 'modules-sip-scenes');
  for (const name of categories)
    expect(figureSvg(byCategory!.drawing)).toContain(`${name} (n = ${name === 'all' ? 6 : 2})`);
  expect(reportHtml(found, figures)).toContain('<figure id="figure-modules-sip-scenes"');
  // Universal heads, rankings and correlations are those of the whole task.
  expect(found.universal!.selections).toHaveLength(1);
});

test('overlays show the heads that are strongest where the attention was taken', async () => {
  const strong = cells.map((entry) =>
    entry.role === 'correct' && entry.head === 0 ? { ...entry, ld_effect: 90 } : entry,
  );
  const found = await analysis();
  const pair = {
    ...{ id: 's0', cleanImage: 'data/scenes/000_clean.png', corruptImage: '', category: 'subject' },
    ...{ cleanPrompt: 'is it a or b?', corruptPrompt: '', correct: 'a', incorrect: 'b' },
  };
  const grids = [{ rows: 4, columns: 4, box: [0, 0, 224, 224] as const }];
  const of = { layers: 2, heads: 3, patches: 16, data: new Float32Array(96).fill(1 / 16), grids };
  const shown = async (attentionPosition: 'answer' | 'last') => {
    const figures = await drawFigures({
      ...{ ...found, ...(await analyseCells(strong, controls, defaults)), attentionPosition },
      ...{ pairs: new Map([['scenes', [pair]]]), attention: new Map([['scenes', new Map([['s0', of]])]]) },
    });
    const svg = figureSvg(figures.find(({ name }) => name === 'overlays-scenes')!.drawing);
    return { first: /L\d\.H\d/.exec(svg)?.[0], from: /attention from (.*?) to the image/.exec(svg)?.[1] };
  };
  expect(await shown('answer')).toEqual({ first: 'L0.H0', from: 'the correct option' });
  expect(await shown('last')).toEqual({ first: 'L0.H2', from: "the prompt's last token" });
});

test('exact match in both definitions', () => {
  const answers = ['happy', 'Happy', 'HAPPY', 'happily', ' happy\n', 'happy.'];
  const evaluations = answers.map((answer, i) => ({
    ...{ id: String(i), category: 'x', correct: 'happy', incorrect: 'sad', answer, corruptAnswer: 'sad' },
    ...{ cleanCorrect: true, corruptIncorrect: false },
  })) as unknown as Parameters<typeof taskAccuracies>[1];
  const [all] = taskAccuracies('fer', evaluations);
  expect(all).toMatchObject({
    n: 6,
    correct: 2,
    accuracy: 1 / 3,
    firstLetter: { correct: 3, accuracy: 0.5 },
  });
  expect(all!.low).toBeLessThan(1 / 3);
  expect(all!.firstLetter.high).toBeGreaterThan(0.5);
  expect(taskAccuracies('fer', [])).toEqual([]);
  // A table for each, of the same columns; text with lone line breaks is quoted.
  const rows = [all!, { ...all!, category: 'top\nbottom' }];
  const [exact, but] = (['exact', 'first-letter'] as const).map((definition) =>
    accuracyTable(rows, definition),
  );
  expect(exact).toMatch(
    /^task,category,n,correct,accuracy,ci95_low,ci95_high,flipped_by_counterpart\r\nfer,all,6,2,0\.333/,
  );
  expect(but).toMatch(/^task,.*\r\nfer,all,6,3,0\.5,.*\r\nfer,"top\nbottom",6,3,0\.5,/);
});
