// Tokens beside the vocabulary ([SEP], <image>): found in the text before anything else is done with it, by the rules of
// the Rust crate's AddedVocabulary. The JavaScript library does not know single_word, and strips less than the crate.

import { NoticeError } from '../errors.ts';
import { escapeRegExp } from './regexp.ts';
import { cutAt, textOf, type Unit } from './units.ts';

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Not where it is part of a word. */
  readonly single_word: boolean;
  /** White space before it belongs to it. */
  readonly lstrip: boolean;
  /** White space behind it belongs to it. */
  readonly rstrip: boolean;
  /** Whether it is searched, normalised itself, in the normalised text. */
  readonly normalized: boolean;
  readonly special: boolean;
}

/** A stretch of the text: an added token, or what is still to be cut. */
export interface Section {
  readonly units: readonly Unit[];
  readonly token?: AddedToken;
}

/**
 * The added tokens of tokenizer.json, and those that only tokenizer_config.json has, as transformers takes them.
 *
 * @throws NoticeError('config') naming the file and the entry
 */
export function parseAddedTokens(tokens: unknown, decoder: unknown): AddedToken[] {
  if (!Array.isArray(tokens ?? [])) fail('tokenizer.json: added_tokens is no list.');
  if (typeof (decoder ?? {}) !== 'object') fail('tokenizer_config.json: added_tokens_decoder is no object.');
  const own = ((tokens ?? []) as unknown[]).map((token, at) =>
    parse(token, undefined, `tokenizer.json: added_tokens[${at}]`),
  );
  const known = new Set(own.map(({ content }) => content));
  const configured = Object.entries((decoder ?? {}) as object).map(([id, token]) =>
    parse(token, Number(id), `tokenizer_config.json: added_tokens_decoder ${JSON.stringify(id)}`),
  );
  return [...own, ...configured.filter(({ content }) => !known.has(content))];
}

function parse(token: unknown, key: number | undefined, where: string): AddedToken {
  const json = (typeof token === 'object' ? token : undefined) as Record<string, unknown> | null | undefined;
  const id = key ?? json?.id;
  if (typeof json?.content !== 'string') fail(`${where} has no text for its content.`);
  if (!(Number.isSafeInteger(id) && (id as number) >= 0)) fail(`${where} has no whole number for its id.`);
  const flag = (name: string, fallback: boolean): boolean => {
    const value = json[name] ?? fallback;
    return typeof value === 'boolean' ? value : fail(`${where}: ${name} should be true or false.`);
  };
  const special = flag('special', false);
  return {
    id: id as number,
    content: json.content,
    single_word: flag('single_word', false),
    lstrip: flag('lstrip', false),
    rstrip: flag('rstrip', false),
    normalized: flag('normalized', !special),
    special,
  };
}

const ENDS_WITH_WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;
const STARTS_WITH_WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /^\p{White_Space}$/u;

/**
 * What cuts a text at added tokens. Of several that begin at one place the longest is found; if it stands where it must
 * not, that stretch is searched no further.
 *
 * @param tokens by how they stand in the text
 */
export function tokenSplitter(
  tokens: ReadonlyMap<string, AddedToken>,
): (units: readonly Unit[]) => readonly Section[] {
  if (tokens.size === 0) return (units) => (units.length > 0 ? [{ units }] : []);
  // Made once: some tokenizers have thousands.
  const byLength = [...tokens.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(byLength.map(escapeRegExp).join('|'), 'gu');
  return (units) => splitAtTokens(units, pattern, tokens);
}

function splitAtTokens(
  units: readonly Unit[],
  pattern: RegExp,
  tokens: ReadonlyMap<string, AddedToken>,
): Section[] {
  const sections: Section[] = [];
  let done = 0;
  let start = 0;
  for (const { units: piece, match } of cutAt(units, pattern)) {
    let end = start + piece.length;
    const token = match === undefined ? undefined : tokens.get(match)!;
    if (token && !(token.single_word && insideWord(units, start, end))) {
      let begin = start;
      if (token.lstrip) while (begin > done && SPACE.test(units[begin - 1]!.content)) begin--;
      if (token.rstrip) while (end < units.length && SPACE.test(units[end]!.content)) end++;
      if (begin > done) sections.push({ units: units.slice(done, begin) });
      sections.push({ units: units.slice(begin, end), token });
      done = end;
    }
    start += piece.length;
  }
  if (done < units.length) sections.push({ units: units.slice(done) });
  return sections;
}

function insideWord(units: readonly Unit[], start: number, end: number): boolean {
  return (
    ENDS_WITH_WORD.test(textOf(units.slice(Math.max(0, start - 1), start))) ||
    STARTS_WITH_WORD.test(textOf(units.slice(end, end + 1)))
  );
}

function fail(problem: string): never {
  throw new NoticeError('config', problem);
}
