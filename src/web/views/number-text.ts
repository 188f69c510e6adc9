/** A number with its sign; what would be 0 in so many digits behind the point is written by its power of ten. */
export function signed(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return 'unknown';
  const isSmall = value !== 0 && Math.abs(value) < 0.5 * 10 ** -digits;
  const text = isSmall ? value.toExponential(1) : value.toFixed(digits);
  return (value > 0 ? `+${text}` : text).replaceAll('-', '−');
}
