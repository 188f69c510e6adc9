// Headers of safetensors as nobody writes them: what the format allows in odd forms, then spoilt here and there. A seed
// fixes all of them, so that a fixture can hold the reference's verdicts on ten thousand in as many bits.

import { Random } from '../support/random.ts';

/** A file: its header's text, and how many bytes follow. */
export interface HeaderCase {
  readonly header: string;
  readonly data: number;
}

const BITS: Readonly<Record<string, number>> = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
};

/** What a spoilt header gets in place of a token, or between two. */
const TOKENS = [
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '""',
    '{}',
    '[]',
    'null',
    'true',
    '\\',
    ' ',
    '\n',
    '\t',
    '\u00a0',
    '\ufeff',
  ],
  ...[
    '0',
    '-0',
    '-1',
    '1',
    '2.0',
    '1e0',
    '1E2',
    '0.5',
    '01',
    '.5',
    '1.',
    '+1',
    'NaN',
    'Infinity',
    '1e999',
    '-1e999',
  ],
  ...[
    '0e999',
    '1e-999',
    '9007199254740993',
    '18446744073709551615',
    '18446744073709551616',
    '-9223372036854775808',
  ],
  ...[
    '-9223372036854775809',
    '1797693134862315700e290',
    '1.7976931348623159e308',
    '0.0e99999999999',
    '1e99999999999',
  ],
  ...[
    '"F32"',
    '"F4"',
    '"f32"',
    '"F33"',
    '{"F32":null}',
    '{"U8":{}}',
    '{"F16":[]}',
    '["F32"]',
    '"__metadata__"',
  ],
  ...[
    '"dtype"',
    '"shape"',
    '"data_offsets"',
    '"\\u0064type"',
    '"\\ud800"',
    '"\\udc00"',
    '"\\ud83d\\ude00"',
    '"\\x"',
  ],
  ...[
    '"\\u0000"',
    '"\u0001"',
    '"\u007f"',
    '"\u{1f99c}"',
    '"\\ud800\\u0041"',
    '"__proto__"',
    '"a":null',
    '"a":1,',
  ],
  ...[126, 127, 128].map((depth) => '['.repeat(depth) + ']'.repeat(depth)),
  ...[124, 125, 126, 127].map((depth) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`),
];

const TOKEN = /"(?:[^"\\]|\\.)*"|[-+0-9.eE]+|[a-z]+|./gsu;

export function headerCases(seed: number): () => HeaderCase {
  const random = new Random(seed);
  const chance = (probability: number) => random.next() < probability;
  const pick = <T>(items: readonly T[]): T => items[random.integer(items.length)]!;
  const space = () => (chance(0.05) ? pick([' ', '\n', '\t', '\r', '  ']) : '');
  const join = (open: string, items: readonly string[], close: string) =>
    open + space() + items.join(`${space()},${space()}`) + space() + close;
  const member = (key: string, value: string) => `${JSON.stringify(key)}${space()}:${space()}${value}`;

  const shuffled = <T>(items: readonly T[]): T[] => random.permutation(items.length).map((at) => items[at]!);
  const name = () => pick(['a', 'b', 'c', 'blocks.0.weight', '', 'é/漢', '__proto__', 'dtype', '0', '10']);
  const shape = (): number[] => Array.from({ length: random.integer(4) }, () => pick([0, 1, 1, 2, 3, 4, 8]));

  const entry = (dtype: string, sizes: readonly string[], begin: number, end: number): string => {
    const fields: [string, string][] = [
      ['dtype', chance(0.03) ? `{"${dtype}":null}` : `"${dtype}"`],
      ['shape', join('[', sizes, ']')],
      ['data_offsets', join('[', [String(begin), String(end)], ']')],
    ];
    if (chance(0.15))
      return join(
        '[',
        fields.map(([, value]) => value),
        ']',
      );
    if (chance(0.05)) fields.push(['extra', pick(TOKENS)], ['extra', '[1.5]']);
    if (chance(0.02)) fields.push(pick(fields));
    const members = chance(0.5) ? shuffled(fields) : fields;
    return join(
      '{',
      members.map(([key, value]) => member(key, value)),
      '}',
    );
  };

  const whole = (): HeaderCase => {
    let end = 0;
    let members = Array.from({ length: random.integer(4) }, () => {
      const dtype = pick(Object.keys(BITS));
      const sizes = shape();
      const bytes = Math.ceil((sizes.reduce((product, size) => product * size, 1) * BITS[dtype]!) / 8);
      const huge = bytes === 0 && chance(0.4) ? [pick(['9007199254740993', '18446744073709551615'])] : [];
      const begin = end;
      end += bytes;
      return member(name(), entry(dtype, shuffled([...sizes.map(String), ...huge]), begin, end));
    });
    if (chance(0.5)) members = shuffled(members);
    if (chance(0.1) && members.length > 0) members.push(pick(members));
    if (chance(0.3))
      members.push(
        member('__metadata__', pick(['null', '{}', '{"a":"b"}', '{"a":"b","a":"c"}', '{"a":1}', '[]'])),
      );
    return { header: space() + join('{', members, '}') + space(), data: chance(0.04) ? end + 1 : end };
  };

  const spoil = (header: string): string => {
    const tokens = header.match(TOKEN) ?? [];
    const at = random.integer(tokens.length + 1);
    const removed = pick([0, 0, 1, 1, 1, 2]);
    const added = chance(0.75) ? [pick(TOKENS)] : [];
    return tokens.toSpliced(at, removed, ...added).join('');
  };

  return () => {
    let { header, data } = whole();
    for (let spoils = pick([0, 0, 1, 1, 2, 3]); spoils > 0; spoils--) header = spoil(header);
    return { header, data };
  };
}
