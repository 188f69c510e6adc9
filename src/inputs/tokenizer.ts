// Text to token ids and back, equal to Hugging Face's Rust `tokenizers`. The work is done by @huggingface/tokenizers;
// where it departs from the Rust crate it is put right here, each time with the reason.
import { NoticeError } from '../errors.ts';
import { type AddedToken, parseAddedTokens } from './added-tokens.ts';
import { repairDecoder } from './decoder.ts';
import { parseJsonObject } from './json-object.ts';
import { requireRanges, TextCutter } from './offsets.ts';
import { createLibraryTokenizer, type LibraryTokenizer } from './tokenizer-library.ts';
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
  /** One per token; undefined for what the template adds ([CLS], [SEP], <s>), or finds there. */
  readonly ranges: readonly (CharRange | undefined)[];
}

/**
 * A folder's tokenizer.json: the ids are those of the Rust tokenizers (Hugging Face `tokenizers`), special tokens included.
 *
 * Ids are numbers from 0, one for each token, without padding or truncation. Ranges are in UTF-16 units of the text, so that
 * `text.slice(start, end)` is a token's text. A tokenizer that is not supported, or loses the places of tokens, ends `load` or
 * `encodeWithRanges` with NoticeError('config'); what is outside the vocabulary becomes `unknownId`, and ids outside it have no text.
 *
 * @example
 * const tokenizer = Tokenizer.load({ tokenizer: await readFile('weights/blip-shapes/tokenizer.json', 'utf8') });
 * const { ids, tokens, ranges } = tokenizer.encodeWithRanges('is it a heart or a ring?');
 * console.log(tokens, tokenizer.decode(ids));
 */
export class Tokenizer {
  readonly #library: LibraryTokenizer;
  readonly #cutter: TextCutter;
  /** Ids of the tokens beside the vocabulary. */
  readonly #added: ReadonlyMap<string, number>;
  readonly #special: ReadonlySet<number>;
  /** What the template puts before and after a text. */
  readonly #frame: readonly [before: readonly string[], after: readonly string[]];
  /** Whether spaces around a token are no part of its place, and one was put before the text. */
  readonly #trim: { readonly prefixed: boolean } | undefined;

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
    this.#trim = trimOf(json.post_processor);
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
    const json = parseJsonObject(tokenizer, 'tokenizer.json');
    const settings = config === undefined ? {} : parseJsonObject(config, 'tokenizer_config.json');
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
   * @param options `startOnce`: a text that already begins with what the template puts before it (`<bos>` of Gemma's chat
   *   template) gets no second one; the crate gives it one. `specialTokens`: false for a text that holds all of them itself
   * @throws NoticeError('config') for a kind of tokenizer that loses the places
   */
  encodeWithRanges(
    text: string,
    { startOnce = false, specialTokens = true }: { startOnce?: boolean; specialTokens?: boolean } = {},
  ): EncodedText {
    const pieces = this.#cutter.pieces(text);
    const [before, after] = specialTokens ? this.#frame : [[], []];
    const ranges = requireRanges(pieces).map((range, i) => this.#trimmed(range, pieces[i]!.token, i === 0));
    const started = startOnce && before.every((token, i) => pieces[i]?.id === this.#frameId(token));
    const start = started ? [] : before;
    const own = started ? before.length : 0;
    return {
      text,
      ids: [
        ...start.map((token) => this.#frameId(token)),
        ...pieces.map(({ id }) => id),
        ...after.map((token) => this.#frameId(token)),
      ],
      tokens: [...start, ...pieces.map(({ token }) => token), ...after],
      ranges: [...before.map(() => undefined), ...ranges.slice(own), ...after.map(() => undefined)],
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

  /** As the crate's ByteLevel does it: by the token's own spaces, which white space written as other bytes is none of. */
  #trimmed({ start, end }: CharRange, token: string, first: boolean): CharRange {
    if (!this.#trim) return { start, end };
    const [before, after] = [/^[Ġ\p{White_Space}]*/u, /[Ġ\p{White_Space}]*$/u].map(
      (p) => p.exec(token)![0].length,
    );
    const added = before! > 0 && (first || start === 0) && this.#trim.prefixed ? 1 : 0;
    const from = Math.min(start + before! - added, end);
    return { start: from, end: Math.max(end - after!, from) };
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

/** The settings of the ByteLevel, or RoBERTa's, that is to trim the places. */
function trimOf(processor: unknown): { prefixed: boolean } | undefined {
  const { type, trim_offsets, add_prefix_space, processors } = (processor ?? {}) as Record<string, unknown>;
  if (type === 'Sequence') return (processors as readonly unknown[]).map(trimOf).find((trim) => trim);
  if ((type !== 'ByteLevel' && type !== 'RobertaProcessing') || trim_offsets === false) return undefined;
  return { prefixed: add_prefix_space !== false };
}
