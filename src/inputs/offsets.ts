// Where in the text a token comes from. The tokenizer library does not say, so its steps are repeated here one by
// one on text of which every normalised character knows its place.
import { NoticeError } from '../errors.ts';
import { type BertNormalization, normalizeBertCharacter } from './bert-normalizer.ts';
import { escapeRegExp } from './regexp.ts';
import type { LibraryTokenizer } from './tokenizer-library.ts';

/** Characters from `start` up to, not including, `end`, counted as `String.slice` does (UTF-16 units). */
export interface CharRange {
  readonly start: number;
  readonly end: number;
}

interface Piece extends CharRange {
  readonly token: string;
}

/** A stretch of the text, and the characters in it, as they are or normalised. */
interface Unit extends CharRange {
  readonly content: string;
}

/**
 * The tokens of a text, without those that a template adds, each with its place. The space before a word belongs
 * to a SentencePiece token's range (`▁word`), as in Hugging Face; the `▁` that is only prepended has an empty range.
 *
 * @param bert the settings if the tokenizer is BERT's; otherwise it must be of the SentencePiece kind
 * @throws NoticeError('config') for a tokenizer of another kind
 */
export function locateTokens(
  library: LibraryTokenizer,
  bert: BertNormalization | undefined,
  text: string,
): Piece[] {
  const added = [...library.get_added_tokens_decoder().values()].map(({ content }) => content);
  const pieces: Piece[] = [];
  for (const section of splitAt(added, text)) {
    if (added.includes(section.content)) {
      pieces.push({ token: section.content, start: section.start, end: section.end });
    } else {
      const normalized = library.normalizer ? library.normalizer(section.content) : section.content;
      const units = bert ? bertUnits(section, bert) : sentencePieceUnits(section, normalized);
      pieces.push(...locateInSection(library, normalized, units));
    }
  }
  const expected = library.tokenize(text);
  if (pieces.length !== expected.length || pieces.some(({ token }, index) => token !== expected[index]))
    unsupported();
  return pieces;
}

/** Cuts the text at every added token; of several that begin at one place the longest wins. */
function splitAt(added: readonly string[], text: string): Unit[] {
  const alternatives = [...added].sort((a, b) => b.length - a.length).map(escapeRegExp);
  const sections = added.length > 0 ? text.split(new RegExp(`(${alternatives.join('|')})`)) : [text];
  let end = 0;
  return sections
    .map((content) => {
      const start = end;
      end += content.length;
      return { content, start, end };
    })
    .filter(({ start, end }) => end > start);
}

function bertUnits(section: Unit, settings: BertNormalization): Unit[] {
  return characters(section).flatMap(({ content, start, end }) =>
    [...normalizeBertCharacter(content, settings)].map((normal) => ({ content: normal, start, end })),
  );
}

/** SentencePiece writes a space as `▁` and may put one `▁` before the text; anything else is not known here. */
function sentencePieceUnits(section: Unit, normalized: string): Unit[] {
  const units = characters(section).map((unit) => (unit.content === ' ' ? { ...unit, content: '▁' } : unit));
  const joined = units.map(({ content }) => content).join('');
  if (normalized === joined) return units;
  if (normalized !== `▁${joined}`) unsupported();
  return [{ content: '▁', start: section.start, end: section.start }, ...units];
}

function characters(section: Unit): Unit[] {
  let end = section.start;
  return [...section.content].map((content) => {
    const start = end;
    end += content.length;
    return { content, start, end };
  });
}

/** Walks the words of a section along its units. */
function locateInSection(library: LibraryTokenizer, normalized: string, units: readonly Unit[]): Piece[] {
  const words = library.pre_tokenizer ? library.pre_tokenizer(normalized) : [normalized];
  const pieces: Piece[] = [];
  let at = 0;
  for (const word of words) {
    const [first] = word;
    while (at < units.length && units[at]!.content !== first) at++; // white space between words
    const wordUnits = units.slice(at, at + [...word].length);
    at += wordUnits.length;
    pieces.push(...locateInWord(library.model, word, wordUnits));
  }
  return pieces;
}

const BYTE_TOKEN = /^<0x[0-9A-F]{2}>$/;

/** Walks the tokens of a word along its units. A token for one byte of a character has the character's range. */
function locateInWord(model: LibraryTokenizer['model'], word: string, units: readonly Unit[]): Piece[] {
  const tokens = model([word]);
  const whole = { start: units[0]!.start, end: units.at(-1)!.end };
  if (tokens.length === 1) return [{ token: tokens[0]!, ...whole }];
  const { continuing_subword_prefix: prefix } = model.config;
  let at = 0;
  let bytesLeft = 0;
  const pieces = tokens.map((token, index) => {
    const { start, end, content } = units[at] ?? unsupported();
    if (BYTE_TOKEN.test(token)) {
      bytesLeft ||= new TextEncoder().encode(content).length;
      if (--bytesLeft === 0) at++;
      return { token, start, end };
    }
    at += [...token].length - (index > 0 && prefix ? prefix.length : 0);
    return { token, start, end: units[at - 1]?.end ?? unsupported() };
  });
  return at === units.length ? pieces : unsupported(); // as with an unknown token in the middle of a word
}

function unsupported(): never {
  throw new NoticeError(
    'config',
    'tokenizer.json: the places of tokens in the text are known for BERT and SentencePiece tokenizers only.',
  );
}
