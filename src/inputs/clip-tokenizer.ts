// CLIP's tokenizer of folders that have vocab.json and merges.txt and no tokenizer.json (Stable Diffusion's): the JSON that
// transformers' converter makes of them, then the one tokenizer of this library.

import { NoticeError } from '../errors.ts';
import { parseJsonObject } from './json-object.ts';
import { Tokenizer } from './tokenizer.ts';

/** Texts of the files of a tokenizer's folder. */
export interface ClipTokenizerFiles {
  readonly tokenizer?: string | undefined;
  /** vocab.json */
  readonly vocabulary?: string | undefined;
  /** merges.txt */
  readonly merges?: string | undefined;
  /** tokenizer_config.json */
  readonly config?: string | undefined;
  /** special_tokens_map.json; what it names goes before tokenizer_config.json. */
  readonly special?: string | undefined;
}

/** Texts to ids of one length, as CLIPTokenizer(text, padding="max_length", truncation=True) gives them. */
export class ClipTokenizer {
  readonly #tokenizer: Tokenizer;
  readonly #length: number;
  readonly #start: number;
  readonly #end: number;
  readonly #padding: number;

  /**
   * @param length positions of the text encoder
   * @throws NoticeError('config') naming the file
   */
  constructor(files: ClipTokenizerFiles, length: number) {
    const settings = settingsOf(files);
    const [start, end, padding] = ['bos_token', 'eos_token', 'pad_token'].map((name) =>
      tokenOf(settings, name),
    ) as [string, string, string];
    this.#tokenizer = Tokenizer.load({
      tokenizer: files.tokenizer ?? tokenizerJson(files, [start, end, padding]),
    });
    const [startId, endId, paddingId] = [start, end, padding].map((token) => {
      const id = this.#tokenizer.tokenToId(token);
      if (id === undefined)
        throw new NoticeError(
          'config',
          `tokenizer/vocab.json has no ${JSON.stringify(token)}, a special token`,
        );
      return id;
    }) as [number, number, number];
    this.#length = length;
    this.#start = startId;
    this.#end = endId;
    this.#padding = paddingId;
  }

  /** Ids of the text between the tokens of its start and end, cut where they are too many. */
  encode(text: string): number[] {
    const ids = this.#tokenizer.encode(text, { specialTokens: false });
    return [this.#start, ...ids.slice(0, this.#length - 2), this.#end];
  }

  /** The same filled up to the encoder's length: the encoder has no mask, so what fills it up counts. */
  encodePadded(text: string): number[] {
    const ids = this.encode(text);
    return [...ids, ...Array<number>(this.#length - ids.length).fill(this.#padding)];
  }

  /** How many tokens of a text are cut off. */
  excess(text: string): number {
    return Math.max(0, this.#tokenizer.encode(text, { specialTokens: false }).length - (this.#length - 2));
  }
}

/** Special tokens by their roles. */
function settingsOf({ config, special }: ClipTokenizerFiles): Record<string, unknown> {
  return {
    bos_token: '<|startoftext|>',
    eos_token: '<|endoftext|>',
    pad_token: '<|endoftext|>',
    ...(config === undefined ? {} : parseJsonObject(config, 'tokenizer/tokenizer_config.json')),
    ...(special === undefined ? {} : parseJsonObject(special, 'tokenizer/special_tokens_map.json')),
  };
}

function tokenOf(settings: Record<string, unknown>, name: string): string {
  const value = settings[name];
  const content =
    typeof value === 'object' && value !== null ? (value as { content?: unknown }).content : value;
  if (typeof content === 'string' && content !== '') return content;
  throw new NoticeError(
    'config',
    `tokenizer/special_tokens_map.json: "${name}" should be a token, found ${JSON.stringify(value)}`,
  );
}

/** As transformers' CLIPConverter. */
function tokenizerJson({ vocabulary, merges }: ClipTokenizerFiles, special: readonly string[]): string {
  if (vocabulary === undefined || merges === undefined)
    throw new NoticeError(
      'config',
      `tokenizer/${vocabulary === undefined ? 'vocab.json' : 'merges.txt'} is missing, and there is no tokenizer/tokenizer.json`,
    );
  const vocab = parseJsonObject(vocabulary, 'tokenizer/vocab.json') as Record<string, number>;
  const pairs = merges
    .split('\n')
    .filter((line, i) => line.trim() !== '' && !(i === 0 && line.startsWith('#version')))
    .map((line, i) => {
      const pair = line.trim().split(' ');
      if (pair.length !== 2)
        throw new NoticeError(
          'config',
          `tokenizer/merges.txt: merge ${i + 1} is ${JSON.stringify(line)}, expected two parts with a space between them`,
        );
      return pair;
    });
  const tokens = [...new Set(special)].filter((content) => vocab[content] !== undefined);
  const [, end = ''] = special;
  return JSON.stringify({
    added_tokens: tokens.map((content) => ({
      id: vocab[content],
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {
          type: 'Split',
          pattern: { Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" },
          behavior: 'Removed',
          invert: true,
        },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: end,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      vocab,
      merges: pairs,
    },
  });
}
