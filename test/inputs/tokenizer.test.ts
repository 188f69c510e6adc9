import { readFileSync } from 'node:fs';
import { describe, expect, it, vi } from 'vitest';
import { Tokenizer } from '../../src/inputs/index.ts';
import { fixturePath, loadTokenizer, noticeError, projectPath, readJsonFile } from './support.ts';

interface TokenizerCases {
  readonly cases: readonly {
    readonly text: string;
    readonly ids: number[];
    readonly tokens: string[];
    readonly ids_without_special: number[];
    readonly decoded: string;
    readonly decoded_skip_special: string;
  }[];
}

interface HardTexts {
  readonly encoded: readonly {
    readonly text: string;
    readonly ids: number[];
    readonly ranges: [number, number][];
  }[];
  readonly decoded: readonly {
    readonly ids: number[];
    readonly text: string;
    readonly without_special: string;
  }[];
}

const hardTexts = readJsonFile<Record<string, HardTexts>>(fixturePath('hard-texts/expected.json'));

const FAMILIES = [
  ...['blip-tiny', 'llava-tiny', 'llava-tiny-gqa', 'smolvlm-tiny', 'idefics3-tiny', 'qwen2_vl-tiny'],
  ...['qwen2_5_vl-tiny', 'qwen3_vl-tiny', 'paligemma-tiny', 'paligemma2-tiny', 'gemma3-tiny'],
  ...['llava_next-tiny', 'llava_onevision-tiny', 'instructblip-tiny'],
];

describe.each(FAMILIES)('%s: tokenizer_cases.json', (model) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  const { cases } = readJsonFile<TokenizerCases>(fixturePath(`${model}/tokenizer_cases.json`));

  it.each(cases)('$text', ({ text, ids, tokens, ids_without_special, decoded, decoded_skip_special }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.encode(text, { specialTokens: false })).toEqual(ids_without_special);
    expect(ids.map((id) => tokenizer.idToToken(id))).toEqual(tokens);
    expect(tokens.map((token) => tokenizer.tokenToId(token))).toEqual(ids);
    expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(decoded);
    expect(tokenizer.decode(Int32Array.from(ids))).toBe(decoded_skip_special);
    const encoded = tokenizer.encodeWithRanges(text);
    expect(encoded).toMatchObject({ text, ids, tokens });
    expect(encoded.ranges.filter((range) => range !== undefined)).toHaveLength(ids_without_special.length);
  });
});

describe.each([
  ...['blip-tiny', 'llava-tiny', 'smolvlm-tiny', 'qwen2_5_vl-tiny', 'gemma3-tiny', 'llava_next-tiny'],
])('%s: hostile texts', (model) => {
  const tokenizer = loadTokenizer(fixturePath(model));
  const { encoded, decoded } = hardTexts[model]!;

  it('encodes as the Rust crate', () => {
    for (const { text, ids } of encoded) expect(tokenizer.encode(text), JSON.stringify(text)).toEqual(ids);
  });

  it('decodes any ids as the Rust crate: broken UTF-8, ids without a token, none', () => {
    for (const { ids, text, without_special } of decoded) {
      expect(tokenizer.decode(ids, { skipSpecialTokens: false }), String(ids)).toBe(text);
      expect(tokenizer.decode(ids), String(ids)).toBe(without_special);
    }
    expect(tokenizer.decode([])).toBe('');
  });

  it('places tokens as the Rust crate', () => {
    for (const { text, ranges } of encoded) {
      const ours = tokenizer.encodeWithRanges(text).ranges.filter((range) => range !== undefined);
      expect(ours).toHaveLength(ranges.length);
      ours.forEach(({ start, end }, index) => {
        // The crate gives a ▁ that is only prepended the place of the character after it.
        const expected = start === end ? [start, start] : ranges[index];
        expect([start, end], JSON.stringify(text)).toEqual(expected);
      });
    }
  });
});

describe('places in the text', () => {
  const slices = (folder: string, text: string) => {
    const { tokens, ranges } = loadTokenizer(folder).encodeWithRanges(text);
    return ranges.map((range, index) => [tokens[index], range && text.slice(range.start, range.end)]);
  };

  it('of WordPieces, with case and accents as they are in the text', () => {
    expect(slices(fixturePath('blip-tiny'), 'Café) SURPRISED?')).toEqual([
      ['[CLS]', undefined],
      ['c', 'C'],
      ['##a', 'a'],
      ['##f', 'f'],
      ['##e', 'é'],
      ['[UNK]', ')'],
      ['sur', 'SUR'],
      ['##pr', 'PR'],
      ['##ised', 'ISED'],
      ['?', '?'],
      ['[SEP]', undefined],
    ]);
  });

  it('of SentencePiece tokens, with the space before a word and bytes of one character', () => {
    expect(slices(fixturePath('llava-tiny'), 'USER: <image>\nis é angry')).toEqual([
      ['<s>', undefined],
      ['▁USER', 'USER'],
      [':', ':'],
      ['▁', ' '],
      ['<image>', '<image>'],
      ['▁', ''],
      ['<0x0A>', '\n'],
      ['is', 'is'],
      ['▁', ' '],
      ['<0xC3>', 'é'],
      ['<0xA9>', 'é'],
      ['▁an', ' an'],
      ['gry', 'gry'],
    ]);
  });
});

describe('files', () => {
  const json = readJsonFile<Record<string, unknown>>(fixturePath('llava-tiny/tokenizer.json'));
  const load = (tokenizer: unknown) => () => Tokenizer.load({ tokenizer: JSON.stringify(tokenizer) });

  it('needs tokenizer.json', () => {
    expect(() => Tokenizer.load({ tokenizer: undefined })).toThrow(
      noticeError('config', /^tokenizer\.json is missing/),
    );
  });

  it('refuses what it cannot read', () => {
    expect(() => Tokenizer.load({ tokenizer: '{' })).toThrow(
      noticeError('config', /^tokenizer\.json is not valid JSON: /),
    );
    expect(() => Tokenizer.load({ tokenizer: '[]' })).toThrow(
      noticeError('config', /^tokenizer\.json: expected a JSON object/),
    );
    expect(() => Tokenizer.load({ tokenizer: JSON.stringify(json), config: 'x' })).toThrow(
      noticeError('config', /^tokenizer_config\.json is not valid JSON/),
    );
    expect(load({ model: {} })).toThrow(noticeError('config', /^tokenizer\.json: /));
    expect(load({ ...json, decoder: { type: 'Morse' } })).toThrow(
      noticeError('config', /^tokenizer\.json: .*Morse/),
    );
  });

  it.each<[unknown, RegExp]>([
    [{}, /^tokenizer\.json: added_tokens is no list/],
    [[null], /^tokenizer\.json: added_tokens\[0\] has no text for its content/],
    [[{ id: 1.5, content: 'a' }], /added_tokens\[0\] has no whole number for its id/],
    [[{ id: 1, content: 'a', lstrip: 'yes' }], /added_tokens\[0\]: lstrip should be true or false/],
  ])('refuses added tokens %j', (added_tokens, message) => {
    expect(load({ ...json, added_tokens })).toThrow(noticeError('config', message));
  });

  it('refuses added tokens of tokenizer_config.json that are no objects', () => {
    const config = JSON.stringify({ added_tokens_decoder: { 3: 'x' } });
    expect(() => Tokenizer.load({ tokenizer: JSON.stringify(json), config })).toThrow(
      noticeError('config', /^tokenizer_config\.json: added_tokens_decoder "3" has no text/),
    );
  });

  it('needs no token for unknown text', () => {
    const model = { ...(json.model as object), unk_token: null };
    const tokenizer = load({ ...json, model })();
    expect(tokenizer.unknownId).toBeUndefined();
    expect(tokenizer.decode(tokenizer.encode('happy 日本'))).toBe('happy 日本');
  });

  it('takes tokens that only tokenizer_config.json has', () => {
    const added = (json.added_tokens as { content: string }[]).filter(({ content }) => content !== '<image>');
    const files = {
      tokenizer: JSON.stringify({ ...json, added_tokens: added }),
      config: readFileSync(fixturePath('llava-tiny/tokenizer_config.json'), 'utf8'),
    };
    expect(Tokenizer.load({ tokenizer: files.tokenizer }).encode('<image>')).not.toContain(479);
    expect(Tokenizer.load(files).encode('<image>')).toEqual([1, 479]);
  });

  it.each<[object, RegExp]>([
    [
      { type: 'Split', pattern: {}, behavior: 'Isolated' },
      /the pattern of Split is \{\}; expected a String or a Regex/,
    ],
    [
      { type: 'Split', pattern: { String: ' ' }, behavior: 'Kept' },
      /Split has the behavior "Kept"; known are Removed,/,
    ],
    [{ type: 'Split', pattern: { Regex: '[' }, behavior: 'Isolated' }, /Unterminated character class/],
    [{ type: 'Morse' }, /Unknown PreTokenizer type: Morse/],
  ])('refuses the pre-tokenizer %j', (pre_tokenizer, message) => {
    const warn = vi.spyOn(console, 'warn').mockReturnValue(); // the library says something of it, too
    expect(load({ ...json, pre_tokenizer })).toThrow(noticeError('config', /^tokenizer\.json: /));
    expect(load({ ...json, pre_tokenizer })).toThrow(noticeError('config', message));
    warn.mockRestore();
  });

  it('refuses places for tokenizers of another kind', () => {
    const pattern = { Regex: '[A-Z]' };
    const other = load({ ...json, normalizer: { type: 'Replace', pattern, content: 'x' } })();
    expect(other.encode('Happy', { specialTokens: false })).not.toHaveLength(0);
    expect(() => other.encodeWithRanges('Happy')).toThrow(
      noticeError('config', /the places of tokens in the text are not known/),
    );
  });

  it('reads the embedded models', () => {
    const blip = loadTokenizer(projectPath('weights/blip-shapes'));
    expect(blip.decode(blip.encode('is the circle orange or green?'))).toBe('is the circle orange or green?');
    expect(blip.tokenToId('[DEC]')).toBe(130);
    const llava = loadTokenizer(projectPath('weights/llava-shapes'));
    expect(llava.decode(llava.encode('is the circle orange?'))).toBe('is the circle orange?');
  });
});
