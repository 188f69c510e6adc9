// When an answer is right. The paper counts answers that equal the correct option "in terms of both content and form,
// including specifics like capitalization and conjugation" (Appendix C); LLaVA begins its answers with a capital letter,
// which that definition never allows, so what it selects by is equality but for the first letter's case.

/** `exact`: character by character; `first-letter`: but for the case of the first letter. */
export type ExactMatch = 'exact' | 'first-letter';

export const EXACT_MATCH_NAMES: Readonly<Record<ExactMatch, string>> = {
  exact: 'exact match',
  'first-letter': "exact but for the first letter's case",
};

/** White space around an answer is no part of it. */
export function isExactMatch(answer: string, expected: string, definition: ExactMatch): boolean {
  const [a, b] = [answer.trim(), expected.trim()];
  return a === b || (definition === 'first-letter' && lowerFirst(a) === lowerFirst(b));
}

function lowerFirst(text: string): string {
  const [first = '', ...rest] = text;
  return first.toLowerCase() + rest.join('');
}
