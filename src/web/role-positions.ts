// The same places in another prompt: positions go over by the part that their tokens play.

import type { TokenRole } from '../inputs/index.ts';

/** A token of a prompt: where it stands and what part it plays. */
export interface PlacedRole {
  readonly position: number;
  readonly role: TokenRole;
}

/**
 * A token's place: its part, and which of the tokens of that part it is. Words that are no option are counted from the
 * start before the options, and from the end behind them, where templates differ least.
 */
function placesOf(tokens: readonly PlacedRole[]): Map<string, number> {
  const options = tokens.findIndex(({ role }) => role === 'correct' || role === 'incorrect');
  const places = new Map<string, number>();
  const counts = new Map<string, number>();
  const count = (part: string, position: number) => {
    const nth = counts.get(part) ?? 0;
    counts.set(part, nth + 1);
    places.set(`${part} ${nth}`, position);
  };
  tokens.forEach(({ role, position }, i) => {
    if (role !== 'rest' || i < options) count(role, position);
  });
  tokens
    .slice(options + 1)
    .reverse()
    .forEach(({ role, position }) => {
      if (role === 'rest') count('rest behind', position);
    });
  return places;
}

/**
 * Where positions of a prompt are in another one. An option that is pinned whole is so there too, whatever number of
 * tokens it has. Positions of no token (features of an image) keep their place.
 *
 * @returns undefined if the other prompt has no such place
 */
export function samePlaces(
  positions: readonly number[],
  from: readonly PlacedRole[],
  to: readonly PlacedRole[],
): number[] | undefined {
  const pinned = new Set(positions);
  const found = new Set<number>();
  for (const role of new Set(from.map((token) => token.role))) {
    const of = from.filter((token) => token.role === role);
    const whole = role !== 'rest' && of.every(({ position }) => pinned.has(position));
    if (!whole) continue;
    const theirs = to.filter((token) => token.role === role);
    if (theirs.length === 0) return undefined;
    for (const { position } of theirs) found.add(position);
    for (const { position } of of) pinned.delete(position);
  }
  const theirs = placesOf(to);
  const names = new Map([...placesOf(from)].map(([name, position]) => [position, name]));
  for (const position of pinned) {
    const name = names.get(position);
    const there = name === undefined ? undefined : theirs.get(name);
    if (there === undefined) return undefined;
    found.add(there);
  }
  return [...found].sort((a, b) => a - b);
}
