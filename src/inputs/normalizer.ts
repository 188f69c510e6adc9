// The normalizer of tokenizer.json, on text whose characters know their places, as the Rust `tokenizers` crate does it.

import { type BertNormalization, normalizeBertCharacter, parseBertNormalizer } from './bert-normalizer.ts';
import { escapeRegExp } from './regexp.ts';
import { cutAt, rangeOf, spread, textOf, type Unit } from './units.ts';

export type Normalize = (units: readonly Unit[]) => readonly Unit[];

/** Undefined for a kind that is not known here: then only the library can normalise, and places are lost. */
export function parseNormalizer(json: unknown): Normalize | undefined {
  const config = (json ?? { type: 'None' }) as Record<string, unknown>;
  switch (config.type) {
    case 'None':
      return (units) => units;
    case 'Sequence': {
      const steps = (config.normalizers as readonly unknown[]).map(parseNormalizer);
      if (!steps.every((step) => step !== undefined)) return undefined;
      return (units) => steps.reduce((result, step) => step(result), units);
    }
    case 'BertNormalizer': {
      const settings = parseBertNormalizer(json) as BertNormalization;
      return perCharacter((character) => normalizeBertCharacter(character, settings));
    }
    case 'Lowercase': // character by character: there is no final sigma
      return perCharacter((character) => character.toLowerCase());
    case 'StripAccents':
      return perCharacter((character) => character.replace(/\p{Mn}/u, ''));
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return byCluster(config.type);
    case 'Prepend':
      return prepend(String(config.prepend));
    case 'Replace': {
      const { String: pattern } = config.pattern as { String?: string };
      return pattern ? replace(pattern, String(config.content)) : undefined;
    }
    default:
      return undefined;
  }
}

function perCharacter(normalize: (character: string) => string): Normalize {
  return (units) => units.flatMap((unit) => spread(normalize(unit.content), unit));
}

type Form = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

/** A character together with the marks behind it, and jamo together, which may become one. */
function byCluster(form: Form): Normalize {
  return (units) => {
    const text = textOf(units);
    if (text.normalize(form) === text) return units;
    return cutAt(units, /[\u1100-\u11ff]+|\P{M}\p{M}*|\p{M}+/gu).flatMap((piece) =>
      normalizeCluster(piece.units, form),
    );
  };
}

/**
 * The characters of a cluster get places in its order, also where marks change theirs: one that is made of several has the
 * place of the first of them, one that is split off has that of the one before.
 */
function normalizeCluster(cluster: readonly Unit[], form: Form): Unit[] {
  const parted = (text: string) =>
    Array.from(text.normalize(form === 'NFC' || form === 'NFD' ? 'NFD' : 'NFKD'));
  // The first part of a character takes its place along.
  const parts = cluster.flatMap(({ content }) =>
    parted(content).map((part, i) => ({ part, takes: i === 0 ? 1 : 0 })),
  );
  const placesOf = (part: string): number => {
    const [found] = parts.splice(
      parts.findIndex((own) => own.part === part),
      1,
    );
    return found!.takes;
  };
  let next = 0;
  return Array.from(textOf(cluster).normalize(form), (content) => {
    const taken = parted(content).reduce((sum, part) => sum + placesOf(part), 0);
    const from = cluster[taken > 0 ? next : Math.max(0, next - 1)]!;
    next += taken;
    return { ...from, content };
  });
}

/** What is only prepended has an empty place before the text. */
function prepend(text: string): Normalize {
  return (units) => {
    const [first] = units;
    return first ? [...spread(text, { start: first.start, end: first.start }), ...units] : units;
  };
}

function replace(pattern: string, content: string): Normalize {
  const regExp = new RegExp(escapeRegExp(pattern), 'gu');
  return (units) =>
    cutAt(units, regExp).flatMap(({ units: piece, match }) =>
      match === undefined ? piece : spread(content, rangeOf(piece)),
    );
}
