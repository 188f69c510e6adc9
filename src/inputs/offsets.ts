// A text's tokens, each with its place. The library's model cuts words into tokens; the steps before it are taken here, on
// text of which every character knows its place.

import { NoticeError } from '../errors.ts';
import { type AddedToken, tokenSplitter } from './added-tokens.ts';
import { type Normalize, parseNormalizer } from './normalizer.ts';
import { type PreTokenize, parsePreTokenizer } from './pre-tokenizer.ts';
import type { LibraryTokenizer } from './tokenizer-library.ts';
import { type CharRange, rangeOf, spread, textOf, type Unit, unitsOf } from './units.ts';

export interface Piece {
  readonly token: string;
  readonly id: number;
  /** Undefined where it is not known how the text became the token. */
  readonly range: CharRange | undefined;
}

/** Cuts texts into tokens, without those that a template adds. */
export class TextCutter {
  readonly #library: LibraryTokenizer;
  readonly #normalize: Normalize | undefined;
  readonly #preTokenize: PreTokenize;
  /** Their text by their ids. */
  readonly addedTokens: ReadonlyMap<number, string>;
  readonly #splitRaw: ReturnType<typeof tokenSplitter>;
  readonly #splitNormalized: ReturnType<typeof tokenSplitter>;
  readonly #unknown: string | undefined;

  /**
   * @param json tokenizer.json
   * @param library made of the same file
   */
  constructor(
    json: Record<string, unknown>,
    library: LibraryTokenizer,
    added: readonly AddedToken[],
    unknown: string | undefined,
  ) {
    this.#library = library;
    this.#normalize = parseNormalizer(json.normalizer);
    this.#preTokenize = parsePreTokenizer(json.pre_tokenizer, library.pre_tokenizer);
    this.#unknown = unknown;
    const found = added
      .map((token) => ({ ...token, content: this.#contentOf(token) }))
      .filter(({ content }) => content !== '');
    const [raw, normalized] = [false, true].map(
      (kind) => new Map(found.filter((token) => token.normalized === kind).map((t) => [t.content, t])),
    );
    this.addedTokens = new Map([...raw!.values(), ...normalized!.values()].map((t) => [t.id, t.content]));
    this.#splitRaw = tokenSplitter(raw!);
    this.#splitNormalized = tokenSplitter(normalized!);
  }

  /** As the crate keeps it, and gives it back when it decodes: normalised if it is to be found in normalised text. */
  #contentOf({ content, normalized }: AddedToken): string {
    return normalized && content !== '' ? textOf(this.#normalized(unitsOf(content))) : content;
  }

  pieces(text: string): Piece[] {
    return this.#splitRaw(unitsOf(text)).flatMap(({ units, token }) => {
      if (token) return [this.#added(token, units)];
      return this.#splitNormalized(this.#normalized(units)).flatMap((section) =>
        section.token
          ? [this.#added(section.token, section.units)]
          : this.#preTokenize(section.units).flatMap((word) => this.#wordPieces(word)),
      );
    });
  }

  #added({ content, id }: AddedToken, units: readonly Unit[]): Piece {
    return { token: content, id, range: this.#placed(rangeOf(units)) };
  }

  #normalized(units: readonly Unit[]): readonly Unit[] {
    if (this.#normalize) return this.#normalize(units);
    return spread(this.#library.normalizer!(textOf(units)), rangeOf(units));
  }

  /** Nothing has a place of its own once the library has normalised the text. */
  #placed(range: CharRange | undefined): CharRange | undefined {
    return this.#normalize && range;
  }

  #wordPieces(word: readonly Unit[]): Piece[] {
    const { model } = this.#library;
    // Without a token for unknown text such text is as if it were not there: what is around it may become one token.
    const known = this.#unknown === undefined ? word.filter((unit) => !this.#isUnknown(unit)) : word;
    const tokens = model([textOf(known)]);
    const ranges = this.#tokenRanges(tokens, known);
    return tokens.map((token, index) => ({
      token,
      id: model.tokens_to_ids.get(token) ?? model.unk_token_id!,
      range: this.#placed(ranges?.[index]),
    }));
  }

  /** Walks the tokens of a word along its characters. A token for one byte of a character has the character's place. */
  #tokenRanges(tokens: readonly string[], word: readonly Unit[]): CharRange[] | undefined {
    const { type } = this.#library.model.config;
    if (tokens.length === 1 && (tokens[0] === textOf(word) || type === 'WordPiece')) return [rangeOf(word)];
    let at = 0;
    let bytesLeft = 0;
    const ranges: CharRange[] = [];
    for (const [index, token] of tokens.entries()) {
      const first = word[at];
      if (!first) return undefined;
      if (BYTE_TOKEN.test(token)) {
        bytesLeft ||= new TextEncoder().encode(first.content).length;
        ranges.push(rangeOf([first]));
        if (--bytesLeft === 0) at++;
        continue;
      }
      const length =
        token === this.#unknown ? this.#unknownLength(word, at) : this.#lengthOf(token, index, tokens.length);
      if (length < 1 || at + length > word.length) return undefined;
      ranges.push(rangeOf(word.slice(at, at + length)));
      at += length;
    }
    return at === word.length ? ranges : undefined;
  }

  /** Characters of a word that one token for unknown text stands for. */
  #unknownLength(word: readonly Unit[], at: number): number {
    if (this.#library.model.config.fuse_unk !== true) return 1;
    const known = word.findIndex((unit, place) => place > at && !this.#isUnknown(unit));
    return (known < 0 ? word.length : known) - at;
  }

  /** Characters of a word that its token `index` of `count` stands for. */
  #lengthOf(token: string, index: number, count: number): number {
    const { continuing_subword_prefix, end_of_word_suffix } = this.#library.model.config;
    const prefix = index > 0 ? (continuing_subword_prefix ?? '') : '';
    const suffix = index === count - 1 ? (end_of_word_suffix ?? '') : '';
    return Array.from(token).length - prefix.length - suffix.length;
  }

  /** Whether the model has neither a token for the character nor for each of its bytes. */
  #isUnknown({ content }: Unit): boolean {
    const { tokens_to_ids, config } = this.#library.model;
    if (tokens_to_ids.has(content)) return false;
    const bytes = Array.from(new TextEncoder().encode(content), (byte) => {
      return `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`;
    });
    return !(config.byte_fallback === true && bytes.every((byte) => tokens_to_ids.has(byte)));
  }
}

const BYTE_TOKEN = /^<0x[0-9A-F]{2}>$/;

/** @throws NoticeError('config') where the place of a token is not known */
export function requireRanges(pieces: readonly Piece[]): CharRange[] {
  return pieces.map(({ range }) => {
    if (range) return range;
    throw new NoticeError(
      'config',
      'tokenizer.json: with this kind of normalizer or model the places of tokens in the text are not known.',
    );
  });
}
