// A text on its way into tokens, character by character, of which each knows its place in what the user wrote.

/** Characters from `start` up to, not including, `end`, counted as `String.slice` does (UTF-16 units). */
export interface CharRange {
  readonly start: number;
  readonly end: number;
}

/** One character, as it is or as normalisation has made it, with the stretch of the text that it came from. */
export interface Unit extends CharRange {
  readonly content: string;
}

export function unitsOf(text: string): Unit[] {
  let end = 0;
  return Array.from(text, (content) => {
    const start = end;
    end += content.length;
    return { content, start, end };
  });
}

export function textOf(units: readonly Unit[]): string {
  return units.map(({ content }) => content).join('');
}

/** Where they begin and end in the text. There must be one at least. */
export function rangeOf(units: readonly Unit[]): CharRange {
  return { start: units[0]!.start, end: units.at(-1)!.end };
}

/** Characters that stand for all of a range together. */
export function spread(text: string, { start, end }: CharRange): Unit[] {
  return Array.from(text, (content) => ({ content, start, end }));
}

/** Cuts a text where `pattern` (with the flags `gu`) matches: the matches, and what is between them. */
export function cutAt(
  units: readonly Unit[],
  pattern: RegExp,
): { readonly units: readonly Unit[]; readonly match?: string }[] {
  const at = unitPlaces(units);
  const pieces: { units: readonly Unit[]; match?: string }[] = [];
  let done = 0;
  for (const { index, 0: match } of textOf(units).matchAll(pattern)) {
    if (match === '') continue;
    const [from, to] = [at.get(index)!, at.get(index + match.length)!];
    if (from > done) pieces.push({ units: units.slice(done, from) });
    pieces.push({ units: units.slice(from, to), match });
    done = to;
  }
  if (done < units.length) pieces.push({ units: units.slice(done) });
  return pieces;
}

/** From place in the joined text to place among the units. */
function unitPlaces(units: readonly Unit[]): ReadonlyMap<number, number> {
  let length = 0;
  const places = new Map(
    units.map(({ content }, index) => {
      length += content.length;
      return [length - content.length, index];
    }),
  );
  return places.set(length, units.length);
}
