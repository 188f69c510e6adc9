// biome-ignore-all lint/suspicious/noTemplateCurlyInString: programs as text
// The campaign itself takes hours (node test/mutants/run.mjs); this checks what it is made of.

import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { describe, expect, test } from 'vitest';
import { chooseTests, ImportGraph, type Reached } from './choose.ts';
import { mutate, placesOf } from './operators.ts';
import { withMarks } from './reach.ts';

const parse = (text: string) => ts.createSourceFile('x.ts', text, ts.ScriptTarget.Latest, true);
const mutants = (text: string) =>
  placesOf(parse(text)).flatMap(({ mutations }) =>
    mutations.map((mutation) => [mutation.operator, mutate(text, mutation)] as const),
  );

/** What a program becomes by one operator. */
function by(operator: string, text: string): string[] {
  return mutants(text).flatMap(([name, changed]) => (name === operator ? [changed] : []));
}

describe('operators', () => {
  test.each([
    ['arithmetic', 'f(a + b)', ['f(a - b)']],
    ['arithmetic', 'f(a % b)', ['f(a * b)']],
    ['arithmetic', "f('a' + b)", []], // no numbers
    ['comparison', 'f(a < b)', ['f(a <= b)', 'f(a >= b)']],
    ['comparison', 'f(a >= b)', ['f(a > b)', 'f(a < b)']],
    ['equality', 'f(a !== b)', ['f(a === b)']],
    ['logical', 'f(a && b)', ['f(a || b)']],
    ['nullish', 'f(a ?? b)', ['f(a)', 'f((b))']],
    ['assignment', 'a += b;', ['a -= b;']],
    ['condition', 'f(a < b)', ['f(true)', 'f(false)']],
    ['condition', 'if (a) f();', ['if (true) f();', 'if (false) f();']],
    ['condition', 'while (a) f();', ['while (false) f();']], // not one that never ends
    ['condition', 'f(a ? b : c)', ['f(true ? b : c)', 'f(false ? b : c)']],
    ['boolean', 'f(true)', ['f(false)']],
    ['unary', 'f(!a, -b)', ['f(a, -b)', 'f(!a, b)']],
    ['update', 'a++;', ['a--;']],
    ['number', 'f(2)', ['f((2 + 1))', 'f((2 - 1))']],
    ['number', 'f(2n)', ['f((2n + 1n))', 'f((2n - 1n))']],
    ['string', "f('a', ``, { 'b': `c${d}` })", ["f('', ``, { 'b': `c${d}` })", "f('a', ``, { 'b': '' })"]],
    ['array', 'f([a, b], [])', ['f([], [])']],
    ['array', '[a, b] = c;', []],
    ['block', 'if (a) { f(); } else {}', ['if (a) {} else {}']],
    ['statement', 'f(); for (;;) break;', ['; for (;;) break;', 'f(); for (;;) ;']],
    [
      'chaining',
      'f(a?.b, a?.(), a?.[0])',
      ['f(a.b, a?.(), a?.[0])', 'f(a?.b, a(), a?.[0])', 'f(a?.b, a?.(), a[0])'],
    ],
    ['method', 'f(Math.min(a, b))', ['f(Math.max(a, b))']],
    ['method', 'f(a.filter(b))', ['f(a)']],
    ['method', 'f(a.some(b))', ['f(a.every(b))']],
    ['method', 'f(Math.abs(a))', ['f(a)']],
  ])('%s: %s', (operator, text, expected) => {
    expect(by(operator, text).sort()).toEqual([...expected].sort());
  });

  test.each([
    "import { a } from 'b';",
    "type A = 1 | 'b' | { c: true };",
    'interface A { b: -1 }',
    "export { a } from 'b';",
    "f<'a'>(b as 'c');",
    'throw new TypeError(`a ${b + 1} c`, { cause: 1 });',
    "const a = checkWhole(b, 'c');",
    "const a = w.empty(b, c, 'd');",
  ])('types, imports and texts for people are left alone: %s', (text) => {
    expect(mutants(text).filter(([operator]) => operator !== 'statement')).toEqual([]);
  });

  test('every mutant of a file is another text that parses', () => {
    const text = ts.sys.readFile(fileURLToPath(new URL('./operators.ts', import.meta.url)))!;
    const all = mutants(text);
    expect(all.length).toBeGreaterThan(200);
    const step = Math.ceil(all.length / 10);
    for (const [, changed] of all.filter((_, i) => i % step === 0)) {
      expect(changed).not.toBe(text);
      const { diagnostics } = ts.transpileModule(changed, { reportDiagnostics: true });
      expect(diagnostics).toEqual([]);
    }
  });
});

test('marks say which places a run comes past', () => {
  const text = `
    const atLoad = 1 + 1;
    function f(a, b = a * 2) {
      if (a > 1) { g(b - 1); }
      else g(0);
      return (x) => x + 1;
    }
    return f;`;
  const file = parse(`function outer(g) {${text}}`);
  const places = placesOf(parse(text)).length;
  const marked = placesOf(file).map((place, id) => ({ id, place }));
  expect(marked.length).toBe(places + 1); // the outer block
  const { text: instrumented, atLoad } = withMarks(file, marked);
  expect(atLoad).toEqual([]);
  const passed = new Set<number>();
  const scope = { reached: (id: number) => passed.add(id) };
  const run = new Function('globalThis', 'g', `${instrumented}; return outer(g);`);
  const code = (id: number) => file.text.slice(marked[id]!.place.start, marked[id]!.place.end);
  const f = run(scope, () => {}) as (a: number) => (x: number) => number;
  const take = () => {
    const codes = [...passed].map(code);
    passed.clear();
    return codes;
  };
  expect(take()).toContain('1 + 1');
  const inner = f(0);
  const first = take();
  expect(first).toEqual(expect.arrayContaining(['a > 1', 'a * 2', '0']));
  expect(first).not.toContain('b - 1');
  expect(first).not.toContain('x + 1');
  f(2);
  expect(take()).toContain('b - 1');
  expect(inner(1)).toBe(2);
  expect(take().sort()).toEqual(['1', 'x + 1']);
  expect(withMarks(parse('const a = 1;'), [{ id: 7, place: { start: 10, end: 11 } }]).atLoad).toEqual([7]);
});

test('the tests that are asked come past the place, the nearest and shortest first', () => {
  const graph = new ImportGraph(fileURLToPath(new URL('../..', import.meta.url)));
  expect(graph.tests('test/mutants/reach.ts')).toEqual(['test/mutants/operators.test.ts']);
  const entry = (file: string, seconds: number, ids: number[], outside: number[] = []): Reached => ({
    file,
    outside,
    tests: { [`${file}/a`]: { ids, seconds, ok: true }, [`${file}/b`]: { ids: [], seconds, ok: true } },
    seconds,
  });
  const reached = [
    entry('test/weights/x.test.ts', 1, [3]),
    entry('test/models/slow.test.ts', 9, [3]),
    entry('test/models/quick.test.ts', 2, [], [3]),
    entry('test/models/other.test.ts', 1, [4]),
    entry('test/models/tower.test.ts', 5, [3]),
  ];
  const caught = new Map<string, number>();
  const choose = (limit: number) =>
    chooseTests({ id: 3, file: 'src/models/tower/tower.ts' }, false, reached, graph, limit, caught);
  const { tests, leftOut } = choose(100);
  expect(tests).toEqual([
    { file: 'test/models/tower.test.ts', ids: ['test/models/tower.test.ts/a'] },
    {
      file: 'test/models/quick.test.ts',
      ids: ['test/models/quick.test.ts/a', 'test/models/quick.test.ts/b'],
    },
    { file: 'test/models/slow.test.ts', ids: ['test/models/slow.test.ts/a'] },
    { file: 'test/weights/x.test.ts', ids: ['test/weights/x.test.ts/a'] },
  ]);
  expect(leftOut).toBe(0);
  expect(choose(1)).toMatchObject({ tests: [{ file: 'test/models/tower.test.ts' }], leftOut: 3 });
  caught.set('test/models/slow.test.ts', 9);
  expect(choose(100).tests[1]).toMatchObject({ file: 'test/models/slow.test.ts' });
});
