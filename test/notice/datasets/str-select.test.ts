import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  categoryPool,
  correctFirst,
  corruptPrompts,
  type Pair,
  type PairDraft,
  readManifest,
  replaceOptions,
  selectBalanced,
  textProblem,
} from '../../../src/notice/datasets/index.ts';
import { fixturePath, loadTokenizer, readJsonFile } from '../../inputs/support.ts';
import { encode, reasons } from './support.ts';

const data = fileURLToPath(new URL('../../../data/', import.meta.url));
let states: Pair[];
beforeAll(async () => {
  states = (await readManifest(join(data, 'states.csv'))).pairs;
});

function draft(cleanPrompt: string, correct: string, incorrect: string, id = 'p'): PairDraft {
  return { id, cleanImage: 'a.png', corruptImage: 'b.png', cleanPrompt, correct, incorrect, category: 'c' };
}

describe('symmetric token replacement', () => {
  const pool = () => ['red', 'blue', 'green', 'crimson', 'ultramarine', 'teal', 'pink', 'hot pink', 'blue'];
  const options = { pool, encode, seed: 1 };

  test('both options go, the rest and the token length stay', () => {
    const result = replaceOptions(draft('Is the blue-eyed cat red or green?', 'green', 'red'), options);
    expect(result).not.toHaveProperty('reason');
    const { prompt, standIns } = result as { prompt: string; standIns: [string, string] };
    expect(prompt).toBe(`Is the blue-eyed cat ${standIns[1]} or ${standIns[0]}?`);
    expect(encode(prompt).tokens).toHaveLength(encode('Is the blue-eyed cat red or green?').tokens.length);
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
          textProblem({ ...draft(prompt, a, b), corruptPrompt: result.prompt }, encode) === undefined
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
    const words = (text: string) => {
      const pieces = [...text.matchAll(/\w+|\?/g)];
      const ranges = pieces.map(({ index, 0: word }) => ({ start: index, end: index + word.length }));
      return { text, tokens: pieces.map(([word]) => word), ranges };
    };
    const pool = categoryPool(states);
    const { pairs, report } = corruptPrompts(states, { pool, encode: words, seed: 3 });
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

describe('whether a corrupt prompt replaces the options token by token', () => {
  const blip = loadTokenizer(fixturePath('blip-tiny'));
  const wordPieces = (text: string) => blip.encodeWithRanges(text);
  const problem = (cleanPrompt: string, corruptPrompt: string, [correct, incorrect]: [string, string]) =>
    textProblem({ cleanPrompt, corruptPrompt, correct, incorrect }, wordPieces);

  // sleep ##ing, stand ##ing; sur ##pr ##ised, dis ##gust ##ed
  test.each([
    ['is it happy or sad?', 'is it angry or afraid?', undefined],
    ['is it happy or sad?', 'is it happy or sad?', 'no-text-corruption'],
    ['is it happy or sad?', 'is it happy or angry?', 'option-kept'],
    ['is it happy or sad?', 'is it surprised or angry?', 'token-length'],
    ['is the puppy happy or sad?', 'is the person angry or afraid?', 'tokens-moved'],
    ['is it happy or sad?', 'is it angry and afraid?', 'tokens-moved'],
    ['is it happy and sad?', 'is it angry or afraid?', 'option-not-in-prompt'],
    ['is it happy, or sad?', 'is it angry , or afraid?', undefined],
  ])('%s → %s', (clean, corrupt, reason) => {
    expect(problem(clean, corrupt, ['happy', 'sad'])?.reason).toBe(reason);
  });

  test('the same length in all is not enough: each option has its own', () => {
    const found = problem('is it sleeping or happy?', 'is it happy or standing?', ['sleeping', 'happy']);
    expect(found?.reason).toBe('tokens-moved');
    expect(found?.detail).toMatch(/token 5 of "is it sleeping or happy\?", outside the options, is "or"/);
    expect(
      problem('is it sleeping or happy?', 'is it standing or sad?', ['happy', 'sleeping']),
    ).toBeUndefined();
  });

  test('over random replacements: exactly those whose stand-ins have as many tokens as their options', () => {
    const words = ['happy', 'sad', 'angry', 'afraid', 'surprised', 'sleeping', 'standing', 'disgusted'];
    const length = (word: string) => blip.encode(word, { specialTokens: false }).length;
    fc.assert(
      fc.property(fc.shuffledSubarray(words, { minLength: 4, maxLength: 4 }), (drawn) => {
        const [a, b, c, d] = drawn as [string, string, string, string];
        const found = problem(`is the puppy ${a} or ${b}?`, `is the puppy ${c} or ${d}?`, [b, a]);
        const same = length(a) === length(c) && length(b) === length(d);
        expect(found === undefined).toBe(same);
      }),
    );
  });
});

interface FamilyCases {
  readonly cases: readonly {
    readonly id: string;
    readonly mode: 'image' | 'text';
    readonly correct_answer: string;
    readonly incorrect_answer: string;
    readonly clean: { readonly text: string };
    readonly corrupt: { readonly text: string };
  }[];
}

describe.each([
  ...['smolvlm-tiny', 'idefics3-tiny', 'qwen2_vl-tiny', 'qwen2_5_vl-tiny', 'qwen3_vl-tiny', 'paligemma-tiny'],
  ...['paligemma2-tiny', 'gemma3-tiny', 'llava_next-tiny', 'llava_onevision-tiny', 'instructblip-tiny'],
])('the replaced prompts of %s', (model) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  const encode = (text: string) => tokenizer.encodeWithRanges(text);
  const { cases } = readJsonFile<FamilyCases>(fixturePath(`${model}/cases.json`));

  test.each(cases.filter(({ mode }) => mode === 'text'))('$id: are, by its tokens', (golden) => {
    const { clean, corrupt, correct_answer: correct, incorrect_answer: incorrect } = golden;
    const pair = { cleanPrompt: clean.text, corruptPrompt: corrupt.text, correct, incorrect };
    // There the words have other lengths than their stand-ins, or the space before one is a token of its own.
    const moved = ['llava_next-tiny case3', 'llava_onevision-tiny case2', 'llava_onevision-tiny case3'];
    const expected = moved.includes(`${model} ${golden.id}`) ? 'tokens-moved' : undefined;
    expect(textProblem(pair, encode)?.reason).toBe(expected);
    const other = corrupt.text.replace(' or ', ' or perhaps ');
    expect(textProblem({ ...pair, corruptPrompt: other }, encode)?.reason).toBe('token-length');
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
