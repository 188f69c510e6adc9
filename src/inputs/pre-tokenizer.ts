// The pre-tokenizer of tokenizer.json, on text whose characters know their places, as the Rust `tokenizers` crate does it.
// Kinds that are not known here are left to the library, as far as they only cut.

import { NoticeError } from '../errors.ts';
import { escapeRegExp } from './regexp.ts';
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
      return splitAt(BERT_WORD, 'Removed', true);
    case 'Split':
      return splitAt(patternOf(config, library), behaviorOf(config, ''), config.invert === true);
    case 'Digits':
      return splitAt(/\p{N}/gu, config.individual_digits === true ? 'Isolated' : 'Contiguous');
    case 'Punctuation':
      return splitAt(PUNCTUATION, behaviorOf(config, 'Isolated'));
    case 'WhitespaceSplit':
      return splitAt(/\p{White_Space}/gu, 'Removed');
    default:
      return (units) => findWords(units, library!(textOf(units)));
  }
}

type Words = readonly (readonly Unit[])[];

/** What becomes of the stretches that a pattern finds: words of their own, a part of the word before or behind, or nothing. */
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const;
type Behavior = (typeof BEHAVIORS)[number];

/** @param invert the pattern finds the words, not what is between them */
function splitAt(pattern: RegExp, behavior: Behavior, invert = false): PreTokenize {
  return (units) => {
    const pieces = cutAt(units, pattern).map(({ units: piece, match }) => ({
      piece,
      found: (match !== undefined) !== invert,
    }));
    if (behavior === 'Removed') return pieces.flatMap(({ piece, found }) => (found ? [] : [piece]));
    const words: { piece: readonly Unit[]; found: boolean }[] = [];
    for (const { piece, found } of behavior === 'MergedWithNext' ? pieces.reverse() : pieces) {
      const last = words.at(-1);
      const joins = behavior === 'Contiguous' ? last?.found === found : found && last?.found === false;
      if (!last || !joins || behavior === 'Isolated') words.push({ piece, found });
      else if (behavior === 'MergedWithNext')
        words.splice(-1, 1, { piece: [...piece, ...last.piece], found });
      else words.splice(-1, 1, { piece: [...last.piece, ...piece], found });
    }
    const cut = words.map(({ piece }) => piece);
    return behavior === 'MergedWithNext' ? cut.reverse() : cut;
  };
}

function behaviorOf({ type, behavior }: Record<string, unknown>, usual: Behavior | ''): Behavior {
  const found = BEHAVIORS.find((known) => known === (behavior ?? usual));
  if (found) return found;
  throw new NoticeError(
    'config',
    `pre_tokenizer: ${type} has the behavior ${JSON.stringify(behavior)}; known are ${BEHAVIORS.join(', ')}.`,
  );
}

/** A text, or a regular expression of Oniguruma's kind, which the library has translated. */
function patternOf({ pattern }: Record<string, unknown>, library: LibraryPreTokenizer | null): RegExp {
  const { String: text } = (pattern ?? {}) as { String?: unknown };
  if (typeof text === 'string' && text !== '') return new RegExp(escapeRegExp(text), 'gu');
  if (library?.pattern) return library.pattern;
  throw new NoticeError(
    'config',
    `pre_tokenizer: the pattern of Split is ${JSON.stringify(pattern)}; expected a String or a Regex.`,
  );
}

/** A punctuation mark, ASCII symbols included, or what has neither such nor white space in it. */
const BERT_WORD = /[\p{P}!-/:-@[-`{-~]|[^\p{P}!-/:-@[-`{-~\p{White_Space}]+/gu;
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;

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

/** The characters of bytes: printable ones stand for themselves, the others for characters from U+0100 on. */
export const BYTE_CHARACTERS: readonly string[] = (() => {
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
