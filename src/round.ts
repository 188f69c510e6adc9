/** Rounds to the nearest whole number, halves to the even one: as Python, numpy and torch do. */
export function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  return value - below === 0.5 ? below + (below % 2) : Math.round(value);
}
