import { describe, expect, it } from 'vitest';
import type { CellMetric, CellRow } from '../../src/analysis/cell.ts';
import { CellEffects, type Cells, ofCategory } from '../../src/analysis/effects.ts';
import { cell } from './support.ts';

const moduleEffects = async (cells: Cells, metric: CellMetric) =>
  (await CellEffects.collect(cells)).modules(metric);
const headEffects = async (cells: Cells, metric: CellMetric) =>
  (await CellEffects.collect(cells)).heads(metric, 'answer');

const at = (sample: string, role: string, layer: number, ld_effect: number, rest: Partial<CellRow> = {}) =>
  cell({ sample, role, layer, ld_effect, ...rest });

describe('module effects', () => {
  it('average tokens of a role and noise draws within a sample, then keep samples apart', async () => {
    const [group, ...others] = await moduleEffects(
      [
        at('b', 'end', 0, 7),
        at('a', 'correct', 0, 1, { position: 3 }),
        at('a', 'correct', 0, 3, { position: 4 }),
        at('a', 'correct', 1, 5, { draw: 0 }),
        at('a', 'correct', 1, 9, { draw: 1 }),
        at('b', 'correct', 0, 10),
        at('b', 'correct', 1, 20),
        at('b', 'start', 1, 8),
        at('b', 'correct', 1, 99, { head: 0 }),
      ],
      'ld_effect',
    );
    expect(others).toEqual([]);
    expect(group).toMatchObject({
      task: 'scenes',
      modality: 'image',
      corruption: 'sip',
      samples: ['b', 'a'],
      roles: ['start', 'correct', 'end'],
    });
    expect(group!.values).toEqual([
      [
        [undefined, undefined],
        [8, undefined],
      ],
      [
        [10, 2],
        [20, 7],
      ],
      [
        [7, undefined],
        [undefined, undefined],
      ],
    ]);
  });

  it('separate tasks, modalities, corruptions and sites, from streams too', async () => {
    async function* stream() {
      yield at('a', 'end', 0, 1);
      yield at('a', 'end', 0, 1, { task: 'faces' });
      yield at('a', 'end', 0, 1, { modality: 'text', corruption: 'str' });
      yield at('a', 'end', 0, 1, { corruption: 'noise' });
      yield at('a', 'end', 0, 1, { site: 'text_encoder.hook_mlp_out' });
    }
    expect(await moduleEffects(stream(), 'ld_effect')).toHaveLength(5);
  });

  it('leave undefined normalised effects out and count them', async () => {
    const effects = await CellEffects.collect([
      at('a', 'end', 0, 0, { normalized: null }),
      at('b', 'end', 0, 0, { normalized: 0.5 }),
      at('b', 'end', 0, 0, { normalized: null, position: 9 }),
    ]);
    const [group] = effects.modules('normalized');
    expect(group!.values).toEqual([[[undefined, 0.5]]]);
    expect(effects.undefinedCells).toBe(2);
    const place = { ...group!, layer: 0, head: null, role: 'end' };
    expect(effects.mean(place, 'normalized')).toEqual({ mean: 0.5, leftOut: 2 });
    expect(effects.mean(place, 'ld_effect')).toEqual({ mean: 0, leftOut: 0 });
    expect(effects.mean({ ...place, layer: 3 }, 'ld_effect')).toEqual({ mean: undefined, leftOut: 0 });
  });

  it('stand for the samples of all categories, then for each by itself', async () => {
    const of = (sample: string, category: string, effect: number) =>
      at(sample, 'end', 0, effect, { category, p_effect: effect / 10 });
    const effects = await CellEffects.collect([
      of('a', 'verb', 1),
      of('b', 'object', 2),
      of('c', 'verb', 6),
      of('d', 'object', 4),
      at('e', 'end', 0, 7, { task: 'faces', category: 'happy' }),
    ]);
    const groups = effects.modules('ld_effect');
    expect(groups.map(({ task, category, samples, values }) => [task, category, samples, values])).toEqual([
      ['scenes', 'all', ['a', 'b', 'c', 'd'], [[[1, 2, 6, 4]]]],
      ['scenes', 'object', ['b', 'd'], [[[2, 4]]]],
      ['scenes', 'verb', ['a', 'c'], [[[1, 6]]]],
      ['faces', 'all', ['e'], [[[7]]]], // one category is the task itself
    ]);
    expect(ofCategory(groups)).toHaveLength(2);
    const place = { ...groups[1]!, layer: 0, head: null, role: 'end' };
    expect(effects.mean(place, 'p_effect').mean).toBeCloseTo(0.3, 12);
  });
});

describe('head effects', () => {
  it('are [layer][head][sample]', async () => {
    const cells = ['a', 'b'].flatMap((sample, s) =>
      [0, 1].flatMap((layer) =>
        [0, 1, 2].map((head) => at(sample, 'correct', layer, 100 * s + 10 * layer + head, { head })),
      ),
    );
    const [group] = await headEffects(cells, 'ld_effect');
    expect(group!.values).toEqual([
      [
        [0, 100],
        [1, 101],
        [2, 102],
      ],
      [
        [10, 110],
        [11, 111],
        [12, 112],
      ],
    ]);
    const all = await CellEffects.collect([...cells, at('a', 'last', 0, 7, { head: 0 })]);
    expect(all.heads('ld_effect', 'answer')).toEqual([group]);
    expect(all.heads('ld_effect', 'last').map(({ values }) => values)).toEqual([[[[7]]]]);
    const place = { ...group!, layer: 1, head: 2, role: null };
    expect(all.mean(place, 'ld_effect').mean).toBe(62);
    await expect(headEffects(cells.slice(1), 'ld_effect')).rejects.toThrow(
      /head 0 of layer 0 has an effect in 1 of 2 samples/,
    );
  });
});
