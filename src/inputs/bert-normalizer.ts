// BERT's text normalisation, character by character, as the Rust `tokenizers` crate does it. The JavaScript library
// normalises whole strings in UTF-16 units, which misses CJK beyond the basic plane and makes a final sigma of Σ;
// and only character by character is it known where in the text a token comes from.

/** The settings of a BertNormalizer in tokenizer.json. */
export interface BertNormalization {
  readonly cleanText: boolean;
  readonly handleChineseChars: boolean;
  readonly stripAccents: boolean;
  readonly lowercase: boolean;
}

/** Reads the `normalizer` of tokenizer.json; undefined if it is of another type. */
export function parseBertNormalizer(normalizer: unknown): BertNormalization | undefined {
  const json = (normalizer ?? {}) as Record<string, unknown>;
  if (json.type !== 'BertNormalizer') return undefined;
  const lowercase = json.lowercase !== false;
  return {
    cleanText: json.clean_text !== false,
    handleChineseChars: json.handle_chinese_chars !== false,
    stripAccents: (json.strip_accents as boolean | null | undefined) ?? lowercase,
    lowercase,
  };
}

/**
 * What one character (code point) becomes: nothing, itself, or several characters. Equal to the crate for every
 * code point but some 500 that Unicode gained after the crate's tables were made (no letters of living languages).
 */
export function normalizeBertCharacter(character: string, settings: BertNormalization): string {
  let result = character;
  if (settings.cleanText) {
    if (/[\p{Cc}\p{Cf}\p{Co}\ufffd]/u.test(result) && !/[\t\n\r]/.test(result)) return '';
    if (/\p{White_Space}/u.test(result)) result = ' ';
  }
  if (settings.handleChineseChars && isChinese(result)) result = ` ${result} `;
  if (settings.stripAccents) result = result.normalize('NFD').replace(/\p{Mn}/gu, '');
  return settings.lowercase ? result.toLowerCase() : result;
}

/** The CJK ideograph blocks of BERT; the seventh begins where the crate has it, 256 characters late. */
function isChinese(character: string): boolean {
  return /^[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]$/u.test(
    character,
  );
}
