import { parse } from 'csv-parse/sync';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatNumber } from '../../../src/notice/tables/format.ts';
import { type Column, csvTable, markdownTable } from '../../../src/notice/tables/table.ts';

interface Row {
  readonly head: string;
  readonly effect: number | null;
}

const columns: Column<Row>[] = [
  { name: 'head', value: ({ head }) => head },
  { name: "LD' − LD*", value: ({ effect }) => effect },
];

describe('numbers for people', () => {
  it.each([
    [0.95434, '0.954'],
    [-0.29051, '−0.291'],
    [0.0000123456, '1.23e−5'],
    [60, '60'],
    [-7, '−7'],
    [12345.678, '12346'],
    [123456789, '1.23e8'],
    [0, '0'],
    [1, '1'],
    [0.1 + 0.2, '0.3'],
    [null, '–'],
    [undefined, '–'],
    [Number.NaN, '–'],
  ])('%s is %s', (value, text) => {
    expect(formatNumber(value)).toBe(text);
  });
});

describe('CSV', () => {
  it('is RFC 4180: CRLF, quotes doubled, full precision, missing values empty', () => {
    const text = csvTable(
      [
        { head: 'L0.H2', effect: 0.1 + 0.2 },
        { head: 'a "b", c\r\nd', effect: null },
        { head: '', effect: -1e-9 },
      ],
      columns,
    );
    expect(text).toBe('head,LD\' − LD*\r\nL0.H2,0.30000000000000004\r\n"a ""b"", c\r\nd",\r\n,-1e-9\r\n');
  });

  it('comes back as it went in', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ head: fc.string({ unit: 'binary' }), effect: fc.double({ noNaN: true }) }), {
          minLength: 1,
        }),
        (rows) => {
          // Text that a spreadsheet would run is changed on purpose; the next test has it.
          const plain = rows.map(({ head, effect }) => ({ head: `.${head}`, effect }));
          const [, ...records] = parse(csvTable(plain, columns)) as string[][];
          expect(records.map(([head, effect]) => ({ head, effect: Number(effect) }))).toEqual(
            plain.map(({ head, effect }) => ({ head, effect: effect + 0 })),
          );
        },
      ),
    );
  });

  it('disarms formulas in text, not in numbers', () => {
    const text = csvTable(
      [
        { head: '=HYPERLINK("http://x")', effect: -0.5 },
        { head: '@SUM(A1)', effect: 1 },
      ],
      columns,
    );
    expect((parse(text) as string[][]).slice(1)).toEqual([
      ['\'=HYPERLINK("http://x")', '-0.5'],
      ["'@SUM(A1)", '1'],
    ]);
  });
});

describe('Markdown', () => {
  it('aligns, rounds and escapes', () => {
    const rows = [
      { head: 'L0.H2', effect: 0.95434 },
      { head: '<b>|*x*\n`y`</b>', effect: null },
    ];
    expect(markdownTable(rows, columns)).toBe(
      [
        "| head                             | LD' − LD\\* |",
        '| :------------------------------- | ---------: |',
        '| L0.H2                            |      0.954 |',
        '| &lt;b&gt;\\|\\*x\\* \\`y\\`&lt;/b&gt; |          – |',
        '',
      ].join('\n'),
    );
  });

  it('of no rows is a header', () => {
    expect(markdownTable([], columns).split('\n')).toHaveLength(3);
  });
});
