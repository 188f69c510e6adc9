// The pre-tokenizer of tokenizer.json, on text whose characters know their places, as the Rust `tokenizers` crate does it.
// Kinds that only cut, and that the library cuts as the crate does, are left to the library.

import { NoticeError } from '../errors.ts';
import type { LibraryPreTokenizer } from './tokenizer-library.ts';
import { cutAt, spread, textOf, type Unit } from './units.ts';

/** Cuts a section of the text into words. */
export type PreTokenize = (units: readonly Unit[]) => readonly (readonly Unit[])[];

/** @param library what the library has made of the same part of tokenizer.json */
export function parsePreTokenizer(json: unknown, library: LibraryPreTokenizer | null): PreTokenize {
  const config = (json ?? { type: 'None' }) as Record<string, unknown>;
  switch (config.type) {
    case 'None':
      return (units) => [units];
    case 'Sequence': {
      const parts = config.pretokenizers as readonly unknown[];
      const steps = parts.map((part, index) => parsePreTokenizer(part, library?.tokenizers?.[index] ?? null));
      return (units) => steps.reduce((words, step) => words.flatMap((word) => step(word)), [units] as Words);
    }
    case 'Metaspace':
      return metaspace(config);
    case 'ByteLevel':
      return byteLevel(config);
    case 'BertPreTokenizer':
      return (units) => cutAt(units, BERT_WORD).flatMap(({ units: word, match }) => (match ? [word] : []));
    default:
      return (units) => findWords(units, library!(textOf(units)));
  }
}

type Words = readonly (readonly Unit[])[];

/** A punctuation mark, ASCII symbols included, or what has neither such nor white space in it. */
const BERT_WORD = /[\p{P}!-/:-@[-`{-~]|[^\p{P}!-/:-@[-`{-~\p{White_Space}]+/gu;

/** SentencePiece's ▁ for a space, and one more before the text (`always`) or before the whole text only (`first`). */
function metaspace(config: Record<string, unknown>): PreTokenize {
  const { replacement = '▁', prepend_scheme: scheme = 'always', split = true } = config;
  const mark = String(replacement);
  return (units) => {
    const marked = units.map((unit) => (unit.content === ' ' ? { ...unit, content: mark } : unit));
    const { start } = marked[0]!;
    const prepends = scheme === 'always' || (scheme === 'first' && start === 0);
    if (prepends && marked[0]!.content !== mark) marked.unshift({ content: mark, start, end: start });
    if (!split) return [marked];
    const words: Unit[][] = [];
    for (const unit of marked) {
      if (unit.content === mark || words.length === 0) words.push([unit]);
      else words.at(-1)!.push(unit);
    }
    return words;
  };
}

const BYTE_LEVEL_WORD =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** GPT-2's: every byte of UTF-8 is written as a character of its own. */
function byteLevel({ add_prefix_space = true, use_regex = true }: Record<string, unknown>): PreTokenize {
  const encoder = new TextEncoder();
  return (units) => {
    const { start } = units[0]!;
    const prefix = add_prefix_space && units[0]!.content !== ' ' ? spread(' ', { start, end: start }) : [];
    const text = [...prefix, ...units];
    const words = use_regex ? cutAt(text, BYTE_LEVEL_WORD).map(({ units: word }) => word) : [text];
    return words.map((word) =>
      word.flatMap((unit) =>
        Array.from(encoder.encode(unit.content), (byte) => ({ ...unit, content: BYTE_CHARACTERS[byte]! })),
      ),
    );
  };
}

/** Printable bytes stand for themselves, the others for characters from U+0100 on. */
const BYTE_CHARACTERS: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : next++);
  });
})();

/** Finds the words that the library has cut out, one behind the other. */
function findWords(units: readonly Unit[], words: readonly string[]): Words {
  let at = 0;
  return words.map((word) => {
    const { length } = Array.from(word);
    for (let from = at; from + length <= units.length; from++) {
      const found = units.slice(from, from + length);
      if (textOf(found) !== word) continue;
      at = from + length;
      return found;
    }
    throw new NoticeError('config', 'tokenizer.json: a pre_tokenizer of this kind changes the text.');
  });
}
