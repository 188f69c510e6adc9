/**
 * A number for people: `digits` significant ones, but all of those before the point; exponents only where zeros would
 * pile up; a true minus sign; and – for what is not defined.
 */
export function formatNumber(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return '–';
  return shorten(value, digits).replaceAll('-', '−').replace('e+', 'e');
}

function shorten(value: number, digits: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return String(value);
  const rounded = Number(value.toPrecision(digits));
  if (size < 1e-3 || size >= 1e6) return rounded.toExponential();
  return String(size < 10 ** digits ? rounded : Math.round(value));
}
