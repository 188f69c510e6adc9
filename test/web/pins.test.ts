// What is pinned, without a browser: the list with undo and redo, its words, and where it is on another prompt.

import { beforeEach, describe, expect, test } from 'vitest';
import type { TokenRole } from '../../src/inputs/index.ts';
import { pinsThere } from '../../src/web/pin-places.ts';
import type { CutPin, EditPin } from '../../src/web/protocol/pins.ts';
import { samePlaces } from '../../src/web/role-positions.ts';
import { numbersIn, pinText, rangesText } from '../../src/web/state/pin-text.ts';
import {
  activePins,
  addPins,
  canRedo,
  canUndo,
  changePin,
  covers,
  pins,
  redo,
  removePins,
  resetPins,
  togglePin,
  undo,
} from '../../src/web/state/pins.ts';
import { cellsOf, keyMove, rectangleOf } from '../../src/web/views/grid-cells.ts';

const Z = 'text_encoder.blocks.1.cross_attn.hook_z';
const place = { hooks: [Z], positions: [4, 5], heads: [2] };

beforeEach(() => resetPins([]));

describe('the list', () => {
  test('a place is pinned and unpinned, and every step can be taken back and made again', () => {
    togglePin(place);
    expect(pins.value).toEqual([{ kind: 'edit', id: 1, on: true, operation: { kind: 'replace' }, ...place }]);
    addPins([{ kind: 'edit', hooks: ['x'], operation: { kind: 'zero' } }]);
    expect(pins.value.map(({ id }) => id)).toEqual([1, 2]);
    togglePin(place);
    expect(pins.value.map(({ id }) => id)).toEqual([2]);
    undo();
    undo();
    expect(pins.value.map(({ id }) => id)).toEqual([1]);
    redo();
    expect(pins.value.map(({ id }) => id)).toEqual([1, 2]);
    removePins([1, 2]);
    expect([canUndo.value, canRedo.value]).toEqual([true, false]);
    for (let i = 0; i < 9; i++) undo();
    expect(pins.value).toEqual([]);
    expect([canUndo.value, canRedo.value]).toEqual([false, true]);
  });

  test('a slider’s way is one step, two sliders are two', () => {
    togglePin(place);
    const pin = () => pins.value[0] as EditPin;
    for (const factor of [0.5, 0.6, 0.7])
      changePin(pin(), { operation: { kind: 'scale', factor } }, 'factor');
    changePin(pin(), { on: false });
    expect(activePins.value).toEqual([]);
    undo();
    expect(pin().operation).toEqual({ kind: 'scale', factor: 0.7 });
    undo();
    expect(pin().operation).toEqual({ kind: 'replace' });
  });

  test('a pin covers the cells that it changes whole', () => {
    togglePin(place);
    const pin = pins.value[0] as EditPin;
    expect(covers(pin, Z, [5], 2)).toBe(true);
    expect(covers(pin, Z, [4, 5], 2)).toBe(true);
    expect(covers(pin, Z, [4, 6], 2)).toBe(false);
    expect(covers(pin, Z, [4], 1)).toBe(false);
    expect(covers(pin, Z, [4], undefined)).toBe(false);
    expect(covers({ ...pin, heads: undefined, positions: undefined }, Z, [9], 3)).toBe(true);
  });
});

describe('in words', () => {
  const tokens = ['[CLS]', 'is', 'it', 'a', 'heart', 'or', 'ring', '[SEP]'].map((text, position) => ({
    text,
    position,
    role: 'rest' as const,
  }));

  test('what is pinned', () => {
    const edit: EditPin = { kind: 'edit', id: 1, on: true, operation: { kind: 'zero' }, ...place };
    expect(pinText(edit, tokens)).toBe('text_encoder.cross_attn.hook_z, layer 1, head 2, tokens heart or');
    expect(
      pinText({ ...edit, hooks: [Z, Z.replace('1', '2')], positions: [20], heads: undefined }, tokens),
    ).toBe('text_encoder.cross_attn.hook_z, layers 1–2, position 20');
    const cut: CutPin = {
      kind: 'cut',
      id: 2,
      on: true,
      attention: 'text_encoder.attn',
      from: [4],
      to: [7],
      layers: [0],
    };
    const blind: CutPin = { ...cut, attention: 'text_encoder.cross_attn', from: [11, 12, 4], to: [4] };
    expect(pinText(blind, tokens, [10, 11, 12])).toBe(
      'text_encoder.cross_attn: token heart cannot see patches 1–2 and token heart, layer 0, all heads',
    );
    expect(pinText(cut, tokens)).toBe(
      'text_encoder.attn: token [SEP] cannot see token heart, layer 0, all heads',
    );
    expect(
      pinText({ kind: 'patches', id: 3, on: true, patches: [3, 1, 2, 9], operation: 'zero' }, tokens),
    ).toBe('patches 1–3, 9');
  });

  test('lists of numbers are read as they are written', () => {
    for (const numbers of [[0], [1, 2, 3, 7], [0, 5, 6]])
      expect(numbersIn(rangesText(numbers), 8)).toEqual(numbers);
    expect(numbersIn(' 3, 1-2 ', 8)).toEqual([1, 2, 3]);
    expect([numbersIn('', 8), numbersIn('all', 8)]).toEqual([undefined, undefined]);
    for (const wrong of ['8', '2-1', 'x', '1,,2', '-1', '1.5']) expect(numbersIn(wrong, 8)).toBe('wrong');
  });
});

describe('on another prompt', () => {
  const prompt = (roles: string) =>
    roles.split(' ').map((role, position) => ({ position, role: role as TokenRole }));
  const here = prompt('start rest rest noun rest correct correct or incorrect rest end');
  const there = prompt('start rest rest rest noun rest incorrect or correct rest rest end');

  test('tokens are found by their part', () => {
    expect(samePlaces([5, 6], here, there)).toEqual([8]);
    expect(samePlaces([0, 3, 8], here, there)).toEqual([0, 4, 6]);
    // The second word of the question; the last before the end.
    expect(samePlaces([2], here, there)).toEqual([2]);
    expect(samePlaces([9], here, there)).toEqual([10]);
    // Only one of the option's two tokens is pinned: the other prompt has the first, not the second.
    expect(samePlaces([5], here, there)).toEqual([8]);
    expect(samePlaces([6], here, there)).toBeUndefined();
    expect(samePlaces([3], here, prompt('start rest correct or incorrect end'))).toBeUndefined();
  });

  test('only positions of the prompt go over', () => {
    const edit: EditPin = {
      kind: 'edit',
      id: 1,
      on: true,
      operation: { kind: 'replace' },
      hooks: [Z],
      positions: [5, 6],
    };
    const moved = (pin: EditPin | CutPin) => pinsThere([pin], here, there, 'text_encoder')?.[0];
    expect(moved(edit)).toEqual({ ...edit, positions: [8] });
    for (const hook of ['vision.blocks.0.hook_mlp_out', 'text_encoder.blocks.0.cross_attn.hook_k'])
      expect(moved({ ...edit, hooks: [hook] })).toEqual({ ...edit, hooks: [hook] });
    const cut: CutPin = {
      kind: 'cut',
      id: 2,
      on: true,
      attention: 'text_encoder.cross_attn',
      from: [5],
      to: [5, 6],
    };
    expect(moved(cut)).toEqual({ ...cut, to: [8] });
    expect(moved({ ...cut, attention: 'text_encoder.attn' })).toEqual({
      ...cut,
      attention: 'text_encoder.attn',
      from: [8],
      to: [8],
    });
    expect(moved({ ...edit, positions: [6] })).toBeUndefined();
  });
});

describe('cells of a map', () => {
  test('a rectangle has the same cells from whichever corner it is drawn', () => {
    const cells = [
      [1, 2],
      [1, 3],
      [2, 2],
      [2, 3],
    ].map(([row = 0, column = 0]) => ({ row, column }));
    for (const [from, to] of [
      [0, 3],
      [3, 0],
      [1, 2],
    ] as const)
      expect(cellsOf(rectangleOf(cells[from]!, cells[to]!))).toEqual(cells);
  });

  test.each([
    ['ArrowUp', false, 0, 3],
    ['ArrowDown', false, 2, 3],
    ['ArrowLeft', false, 1, 2],
    ['ArrowRight', false, 1, 3],
    ['Home', false, 1, 0],
    ['End', true, 2, 3],
    ['Home', true, 0, 0],
  ])('%s (ctrl %s) leads to row %i, column %i and not out of it', (key, ctrlKey, row, column) => {
    expect(keyMove({ key, ctrlKey }, { row: 1, column: 3 }, 3, 4)).toEqual({ row, column });
  });

  test('other keys lead nowhere', () => {
    expect(keyMove({ key: 'a', ctrlKey: false }, { row: 0, column: 0 }, 3, 4)).toBeUndefined();
  });
});
