import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  categoryPool,
  correctFirst,
  corruptPrompts,
  findOptions,
  type Pair,
  type PairDraft,
  readManifest,
  replaceOptions,
  selectBalanced,
} from '../../../src/notice/datasets/index.ts';
import { reasons, tokenLength } from './support.ts';

const data = fileURLToPath(new URL('../../../data/', import.meta.url));
let states: Pair[];
beforeAll(async () => {
  states = (await readManifest(join(data, 'states.csv'))).pairs;
});

function draft(cleanPrompt: string, correct: string, incorrect: string, id = 'p'): PairDraft {
  return { id, cleanImage: 'a.png', corruptImage: 'b.png', cleanPrompt, correct, incorrect, category: 'c' };
}

describe('findOptions', () => {
  const slices = (prompt: string, a: string, b: string) => {
    const spans = findOptions(prompt, a, b);
    return spans && [spans.correct, spans.incorrect].map(([from, to]) => `${prompt.slice(from, to)}@${from}`);
  };
  test.each([
    ['is the woman or man here?', 'man', 'woman', ['man@16', 'woman@7']],
    ['Is the ring inside the ring or star?', 'star', 'ring', ['star@31', 'ring@23']],
    ['is this hot or hot dog?', 'hot dog', 'hot', ['hot dog@15', 'hot@8']],
    ['Is it Red or blue?', 'red', 'blue', ['Red@6', 'blue@13']],
    ['is it c++ (new) or c?', 'c', 'c++ (new)', ['c@19', 'c++ (new)@6']],
    ['ist es grün oder or blau?', 'blau', 'grün', ['blau@20', 'grün@7']],
  ])('%s', (prompt, a, b, expected) => {
    expect(slices(prompt, a, b)).toEqual(expected);
  });
  test.each([
    ['what color is it?', 'red', 'blue'],
    ['is it red and blue?', 'red', 'blue'],
    ['is the floor red, blue?', 'red', 'blue'],
    ['is it reddish or blue?', 'red', 'blue'],
  ])('none in "%s"', (prompt, a, b) => {
    expect(slices(prompt, a, b)).toBeUndefined();
  });
});

describe('symmetric token replacement', () => {
  const pool = () => ['red', 'blue', 'green', 'crimson', 'ultramarine', 'teal', 'pink', 'hot pink', 'blue'];
  const options = { pool, tokenLength, seed: 1 };

  test('both options go, the rest and the token length stay', () => {
    const result = replaceOptions(draft('Is the blue-eyed cat red or green?', 'green', 'red'), options);
    expect(result).not.toHaveProperty('reason');
    const { prompt, standIns } = result as { prompt: string; standIns: [string, string] };
    expect(prompt).toBe(`Is the blue-eyed cat ${standIns[1]} or ${standIns[0]}?`);
    expect(tokenLength(prompt)).toBe(tokenLength('Is the blue-eyed cat red or green?'));
    // "blue" stands in the prompt already, "ultramarine" and "hot pink" have two tokens
    expect(['crimson', 'teal', 'pink']).toEqual(expect.arrayContaining(standIns));
  });

  test('over many draws: never an option, its similars, or the same word twice', () => {
    const similar = (a: string, b: string) => [a, b].sort().join() === 'crimson,red';
    const words = pool();
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(...words), fc.constantFrom(...words), (seed, a, b) => {
        fc.pre(a !== b && !a.includes(b) && !b.includes(a));
        const prompt = `is it ${a} or ${b}?`;
        const result = replaceOptions(draft(prompt, a, b), { ...options, similar, seed });
        if ('reason' in result) return result.reason === 'no-replacement';
        const [c, d] = result.standIns;
        return (
          new Set([a, b, c, d]).size === 4 &&
          ![a, b].some((option) => similar(option, c) || similar(option, d)) &&
          tokenLength(result.prompt) === tokenLength(prompt)
        );
      }),
    );
  });

  test('depends on seed and id alone', () => {
    const pair = draft('is it red or blue?', 'red', 'blue', 'x');
    const other = draft('is it red or blue?', 'red', 'blue', 'y');
    const [a, b] = corruptPrompts([pair, other], options).pairs;
    const [c, d] = corruptPrompts([other, pair], options).pairs;
    expect(a).toEqual(d);
    expect(b).toEqual(c);
    const seeds = Array.from({ length: 30 }, (_, seed) => replaceOptions(pair, { ...options, seed }));
    expect(new Set(seeds.map((result) => JSON.stringify(result))).size).toBeGreaterThan(5);
  });

  test('a pool without a fitting word, and a prompt without the options, are counted', () => {
    const drafts = [
      draft('is it red or blue?', 'red', 'blue', '1'),
      draft('which color?', 'red', 'blue', '2'),
      draft('is it red or transparent?', 'red', 'transparent', '3'),
    ];
    const { pairs, report } = corruptPrompts(drafts, { ...options, pool: () => ['green', 'teal'] });
    expect(pairs.map(({ id }) => id)).toEqual(['1']);
    expect(reasons(report.drops)).toEqual(['no-replacement', 'option-not-in-prompt']);
    expect(report.drops[1]?.detail).toMatch(/stand in for "transparent"/);
  });

  test('a finished manifest is corrupted anew from its own options', () => {
    // Four textures leave two stand-ins for two options, so the tokenizer must find them all of one length.
    const words = (text: string) => text.split(' ').length;
    const pool = categoryPool(states);
    const { pairs, report } = corruptPrompts(states, { pool, tokenLength: words, seed: 3 });
    expect(report.drops).toEqual([]);
    const known = new Set(states.flatMap(({ correct, incorrect }) => [correct, incorrect]));
    for (const { metadata, cleanPrompt, corruptPrompt, correct, incorrect } of pairs) {
      const standIns = metadata?.str_options as readonly string[];
      for (const word of standIns) expect(known.has(word)).toBe(true);
      const restored = corruptPrompt
        .replace(standIns[0] as string, correct)
        .replace(standIns[1] as string, incorrect);
      expect(restored).toBe(cleanPrompt);
    }
    expect(pairs[0]?.metadata?.clean).toEqual(states[0]?.metadata?.clean);
  });
});

describe('balanced selection', () => {
  const firsts = (pairs: readonly Pair[]) => pairs.filter((pair) => correctFirst(pair)).length;

  test('half name the correct option first, none comes twice, the order of the pairs is kept', () => {
    const { pairs } = selectBalanced(states, { n: 40, seed: 1 });
    expect(pairs).toHaveLength(40);
    expect(firsts(pairs)).toBe(20);
    expect(new Set(pairs).size).toBe(40);
    expect(pairs).toEqual(states.filter((pair) => pairs.includes(pair)));
    expect(firsts(selectBalanced(states, { n: 41, seed: 1 }).pairs)).toBe(21);
  });

  test('the draw follows the seed, not the order of the pairs', () => {
    const ids = (pairs: readonly Pair[]) => pairs.map(({ id }) => id).sort();
    const one = ids(selectBalanced(states, { n: 20, seed: 'a' }).pairs);
    expect(ids(selectBalanced([...states].reverse(), { n: 20, seed: 'a' }).pairs)).toEqual(one);
    expect(ids(selectBalanced(states, { n: 20, seed: 'b' }).pairs)).not.toEqual(one);
  });

  test('per category', () => {
    const { pairs } = selectBalanced(states, { n: 10, seed: 1, perCategory: true });
    for (const category of ['color', 'shape', 'texture']) {
      const own = pairs.filter((pair) => pair.category === category);
      expect([own.length, firsts(own)]).toEqual([10, 5]);
    }
  });

  test('too few are an error that says how many there are, or as many as stay balanced', () => {
    const few = states.slice(0, 9);
    const [first, second] = [firsts(few), 9 - firsts(few)];
    expect(() => selectBalanced(few, { n: 20, seed: 1 })).toThrow(
      new RegExp(`there are ${first} and ${second}`),
    );
    const { pairs } = selectBalanced(few, { n: 20, seed: 1, short: 'fewer' });
    expect([pairs.length, firsts(pairs)]).toEqual([2 * Math.min(first, second), Math.min(first, second)]);
  });

  test('pairs whose options are not in the prompt cannot be drawn, and are counted', () => {
    const open = { ...(states[0] as Pair), id: 'open', cleanPrompt: 'what color is it?' };
    const { report } = selectBalanced([...states, open], { n: 10, seed: 1 });
    expect(report.drops).toMatchObject([{ source: 'open', reason: 'option-not-in-prompt' }]);
  });
});
