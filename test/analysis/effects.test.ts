import { describe, expect, it } from 'vitest';
import type { CellRow } from '../../src/analysis/cell.ts';
import { headEffects, moduleEffects } from '../../src/analysis/effects.ts';
import { cell } from './support.ts';

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
      undefinedCells: 0,
    });
    expect(group!.values).toEqual([
      [[], [8]],
      [
        [10, 2],
        [20, 7],
      ],
      [[7], []],
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
    const [group] = await moduleEffects(
      [at('a', 'end', 0, 0, { normalized: null }), at('b', 'end', 0, 0, { normalized: 0.5 })],
      'normalized',
    );
    expect(group).toMatchObject({ values: [[[0.5]]], undefinedCells: 1 });
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
    await expect(headEffects(cells.slice(1), 'ld_effect')).rejects.toThrow(
      /head 0 of layer 0 has an effect in 1 of 2 samples/,
    );
  });
});
