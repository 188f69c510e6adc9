// Text to token ids and back, equal to Hugging Face's Rust `tokenizers`. The work is done by @huggingface/tokenizers;
// where it departs from the Rust crate it is put right here, each time with the reason.
import { NoticeError } from '../errors.ts';
import { type BertNormalization, normalizeBertCharacter, parseBertNormalizer } from './bert-normalizer.ts';
import { type CharRange, locateTokens } from './offsets.ts';
import { createLibraryTokenizer, type LibraryDecoder, type LibraryTokenizer } from './tokenizer-library.ts';

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
  readonly #bert: BertNormalization | undefined;

  private constructor(library: LibraryTokenizer, bert: BertNormalization | undefined) {
    this.#library = library;
    this.#bert = bert;
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
    let library: LibraryTokenizer;
    try {
      addMissingTokens(json, settings);
      // The library lets tokenizer_config.json change how text is split, which the crate does not.
      library = createLibraryTokenizer(json, {});
    } catch (cause) {
      throw new NoticeError('config', `tokenizer.json: ${(cause as Error).message}`, { cause });
    }
    if (library.model.unk_token_id === undefined) {
      throw new NoticeError('config', 'tokenizer.json: the model has no token for unknown text (unk_token).');
    }
    const bert = parseBertNormalizer(json.normalizer);
    if (bert && library.normalizer) {
      library.normalizer.normalize = (text) =>
        Array.from(text, (character) => normalizeBertCharacter(character, bert)).join('');
    }
    if (library.decoder) repairByteFallback(library.decoder);
    return new Tokenizer(library, bert);
  }

  /** Token ids of a text, with what the model's template adds unless `specialTokens` is false. */
  encode(text: string, { specialTokens = true }: { specialTokens?: boolean } = {}): number[] {
    return this.#library.encode(text, { add_special_tokens: specialTokens }).ids;
  }

  /**
   * Token ids with the place of each token in the text.
   *
   * @throws NoticeError('config') if the tokenizer is neither BERT's nor of the SentencePiece kind
   */
  encodeWithRanges(text: string): EncodedText {
    const { ids, tokens } = this.#library.encode(text);
    const pieces = locateTokens(this.#library, this.#bert, text);
    const before = this.#templatePrefix();
    const ranges = ids.map((_, index) => {
      const piece = pieces[index - before];
      return piece && { start: piece.start, end: piece.end };
    });
    return { text, ids, tokens, ranges };
  }

  /**
   * Text of token ids. Ids beyond the vocabulary (padded embedding rows, [DEC] of BLIP) have no text and are left
   * out, as in the crate.
   */
  decode(ids: Iterable<number>, { skipSpecialTokens = true }: { skipSpecialTokens?: boolean } = {}): string {
    const known = Array.from(ids).filter((id) => this.idToToken(id) !== undefined);
    if (known.length === 0) return '';
    return this.#library.decode(known, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: false, // the decoder in tokenizer.json says what is to be tidied up
    });
  }

  tokenToId(token: string): number | undefined {
    return this.#library.token_to_id(token);
  }

  idToToken(id: number): string | undefined {
    return this.#library.id_to_token(id);
  }

  /** The id that stands for text outside the vocabulary. */
  get unknownId(): number {
    return this.#library.model.unk_token_id!;
  }

  /** How many tokens the template puts before a text. */
  #templatePrefix(): number {
    const processor = this.#library.post_processor;
    return processor ? processor.post_process(['text'], null, true).tokens.indexOf('text') : 0;
  }
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

/** Adds the tokens of tokenizer_config.json's added_tokens_decoder that tokenizer.json does not have. */
function addMissingTokens(tokenizer: Record<string, unknown>, config: Record<string, unknown>): void {
  const added = (tokenizer.added_tokens ?? []) as { id: number; content: string }[];
  const known = new Set(added.map(({ content }) => content));
  const configured = Object.entries(
    (config.added_tokens_decoder ?? {}) as Record<string, { content: string }>,
  );
  const missing = configured.filter(([, { content }]) => !known.has(content));
  tokenizer.added_tokens = [...added, ...missing.map(([id, token]) => ({ ...token, id: Number(id) }))];
}

/**
 * The crate turns a run of byte tokens that is not valid UTF-8 into one U+FFFD per byte; the library's TextDecoder
 * keeps the valid part of the run, makes fewer marks of the rest, and drops a byte order mark.
 */
function repairByteFallback(decoder: LibraryDecoder): void {
  decoder.decoders?.forEach(repairByteFallback);
  if (decoder.config.type === 'ByteFallback') decoder.decode_chain = fuseByteTokens;
}

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
