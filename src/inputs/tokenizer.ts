// Text to token ids and back, equal to Hugging Face's Rust `tokenizers`. The work is done by @huggingface/tokenizers;
// where it departs from the Rust crate it is put right here, each time with the reason.
import { NoticeError } from '../errors.ts';
import { type AddedToken, parseAddedTokens } from './added-tokens.ts';
import { requireRanges, TextCutter } from './offsets.ts';
import { createLibraryTokenizer, type LibraryDecoder, type LibraryTokenizer } from './tokenizer-library.ts';
import type { CharRange } from './units.ts';

/** Texts of the files of a model folder; undefined if the folder has no such file. */
export interface TokenizerFiles {
  /** tokenizer.json */
  readonly tokenizer: string | undefined;
  /** tokenizer_config.json. Only tokens that tokenizer.json lacks are taken from it, as transformers does. */
  readonly config?: string | undefined;
}

/** A text, its tokens, and where each comes from. */
export interface EncodedText {
  readonly text: string;
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
  /** One per token; undefined for what the template adds ([CLS], [SEP], <s>). */
  readonly ranges: readonly (CharRange | undefined)[];
}

export class Tokenizer {
  readonly #library: LibraryTokenizer;
  readonly #cutter: TextCutter;
  /** Ids of the tokens beside the vocabulary. */
  readonly #added: ReadonlyMap<string, number>;
  readonly #special: ReadonlySet<number>;
  /** What the template puts before and after a text. */
  readonly #frame: readonly [before: readonly string[], after: readonly string[]];
  /** Whether white space around a token's text is no part of its place, as ByteLevel wants it. */
  readonly #trimsRanges: boolean;

  private constructor(
    json: Record<string, unknown>,
    library: LibraryTokenizer,
    added: readonly AddedToken[],
  ) {
    const { tokens_to_ids: ids, unk_token_id, unk_token } = library.model;
    // The library takes added tokens into the vocabulary, where they would be found inside words.
    const vocabulary = vocabularyOf(json.model);
    for (const { content } of added) if (!vocabulary.has(content)) ids.delete(content);
    const placed = added.map((token) => ({ ...token, id: ids.get(token.content) ?? token.id }));
    this.#library = library;
    this.#added = new Map(placed.map(({ content, id }) => [content, id]));
    this.#cutter = new TextCutter(json, library, placed, unk_token_id === undefined ? undefined : unk_token!);
    this.#special = new Set(placed.filter(({ special }) => special).map(({ id }) => id));
    for (const [id, content] of this.#cutter.addedTokens) library.model.vocab[id] = content;
    this.#frame = frameOf(library);
    this.#trimsRanges = trimsRanges(json.post_processor);
  }

  /**
   * @throws NoticeError('config') if tokenizer.json is missing, not JSON, or of a kind that is not supported
   */
  static load({ tokenizer, config }: TokenizerFiles): Tokenizer {
    if (tokenizer === undefined) {
      throw new NoticeError(
        'config',
        'tokenizer.json is missing. Vocabulary files alone (vocab.txt, tokenizer.model) are not read; ' +
          "save the tokenizer with transformers' AutoTokenizer to get it.",
      );
    }
    const json = parse(tokenizer, 'tokenizer.json');
    const settings = config === undefined ? {} : parse(config, 'tokenizer_config.json');
    const added = parseAddedTokens(json.added_tokens, settings.added_tokens_decoder);
    try {
      // The library lets tokenizer_config.json change how text is split, which the crate does not.
      const library = createLibraryTokenizer({ ...json, added_tokens: added }, {});
      if (library.decoder) repairDecoder(library.decoder);
      return new Tokenizer(json, library, added);
    } catch (cause) {
      throw new NoticeError('config', `tokenizer.json: ${(cause as Error).message}`, { cause });
    }
  }

  /** Token ids of a text, with what the model's template adds unless `specialTokens` is false. */
  encode(text: string, { specialTokens = true }: { specialTokens?: boolean } = {}): number[] {
    const ids = this.#cutter.pieces(text).map(({ id }) => id);
    if (!specialTokens) return ids;
    const [before, after] = this.#frame.map((tokens) => tokens.map((token) => this.#frameId(token)));
    return [...before!, ...ids, ...after!];
  }

  /**
   * Token ids with the place of each token in the text.
   *
   * @throws NoticeError('config') for a kind of tokenizer that loses the places
   */
  encodeWithRanges(text: string): EncodedText {
    const pieces = this.#cutter.pieces(text);
    const [before, after] = this.#frame;
    const ranges = requireRanges(pieces).map((range) => (this.#trimsRanges ? trimmed(text, range) : range));
    return {
      text,
      ids: this.encode(text),
      tokens: [...before, ...pieces.map(({ token }) => token), ...after],
      ranges: [...before.map(() => undefined), ...ranges, ...after.map(() => undefined)],
    };
  }

  /**
   * Text of token ids. Ids beyond the vocabulary (padded embedding rows, [DEC] of BLIP) have no text and are left
   * out, as in the crate.
   */
  decode(ids: Iterable<number>, { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    const known = Array.from(ids).filter(
      (id) => this.idToToken(id) !== undefined && !(skipSpecialTokens && this.#special.has(id)),
    );
    if (known.length === 0) return '';
    return this.#library.decode(known, {
      skip_special_tokens: false,
      clean_up_tokenization_spaces: false, // the decoder in tokenizer.json says what is to be tidied up
    });
  }

  tokenToId(token: string): number | undefined {
    return this.#added.get(token) ?? this.#library.model.tokens_to_ids.get(token);
  }

  idToToken(id: number): string | undefined {
    return this.#library.id_to_token(id);
  }

  /** The id that stands for text outside the vocabulary; undefined where there is no such text, or it leaves no token. */
  get unknownId(): number | undefined {
    return this.#library.model.unk_token_id;
  }

  #frameId(token: string): number {
    const id = this.tokenToId(token);
    if (id !== undefined) return id;
    throw new NoticeError(
      'config',
      `tokenizer.json: the template adds ${JSON.stringify(token)}, which has no id.`,
    );
  }
}

/** The tokens of tokenizer.json's model: an object of ids, or Unigram's list of tokens with their scores. */
function vocabularyOf(model: unknown): ReadonlySet<string> {
  const { vocab } = model as {
    vocab: Readonly<Record<string, number>> | readonly (readonly [string, number])[];
  };
  return new Set(Array.isArray(vocab) ? vocab.map(([token]) => token) : Object.keys(vocab));
}

function frameOf({ post_processor: processor }: LibraryTokenizer): [string[], string[]] {
  if (!processor) return [[], []];
  const { tokens } = processor.post_process(['text'], null, true);
  const at = tokens.indexOf('text');
  return [tokens.slice(0, at), tokens.slice(at + 1)];
}

function trimsRanges(processor: unknown): boolean {
  const { type, trim_offsets, processors } = (processor ?? {}) as Record<string, unknown>;
  if (type === 'Sequence') return (processors as readonly unknown[]).some(trimsRanges);
  return type === 'ByteLevel' && trim_offsets !== false;
}

function trimmed(text: string, { start, end }: CharRange): CharRange {
  const content = text.slice(start, end);
  const before = /^\p{White_Space}*/u.exec(content)![0].length;
  const after = /\p{White_Space}*$/u.exec(content.slice(before))![0].length;
  return { start: start + before, end: end - after };
}

function parse(text: string, file: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new NoticeError('config', `${file} is not valid JSON: ${(cause as Error).message}.`, { cause });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new NoticeError('config', `${file}: expected a JSON object.`);
  }
  return value as Record<string, unknown>;
}

/** Decoding steps in which the library departs from the crate. */
function repairDecoder(decoder: LibraryDecoder): void {
  decoder.decoders?.forEach(repairDecoder);
  const { type, replacement = '▁', prepend_scheme: scheme = 'always' } = decoder.config;
  if (type === 'ByteFallback') decoder.decode_chain = fuseByteTokens;
  if (type === 'Metaspace') {
    // Of the first token the crate drops every ▁, or none where none is put before a text.
    decoder.decode_chain = (tokens) =>
      tokens.map((token, index) =>
        token.replaceAll(replacement, index === 0 && scheme !== 'never' ? '' : ' '),
      );
  }
}

/**
 * The crate turns a run of byte tokens that is not valid UTF-8 into one U+FFFD per byte; the library's TextDecoder
 * keeps the valid part of the run, makes fewer marks of the rest, and drops a byte order mark.
 */
function fuseByteTokens(tokens: string[]): string[] {
  const result: string[] = [];
  let run: number[] = [];
  const endRun = () => {
    if (run.length > 0) result.push(decodeUtf8(run) ?? '\ufffd'.repeat(run.length));
    run = [];
  };
  for (const token of tokens) {
    const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
    if (byte) {
      run.push(Number.parseInt(byte, 16));
    } else {
      endRun();
      result.push(token);
    }
  }
  endRun();
  return result;
}

function decodeUtf8(bytes: readonly number[]): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    return undefined;
  }
}
