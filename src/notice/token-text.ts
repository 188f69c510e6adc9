/** A token as it is read by people: vocabularies write spaces as Ġ or ▁ and line breaks as Ċ. */
export function readableToken(text: string): string {
  return text.replace(/^[Ġ▁]+(?=.)/u, '').replaceAll('Ċ', '↵');
}
