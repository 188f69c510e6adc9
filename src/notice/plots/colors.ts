// Colours of effects and of attention, both with white at zero.

import * as Plot from '@observablehq/plot';

/** A colour scale around zero. */
export interface EffectScale {
  /** Ends of the colour bar; −high, or 0 where there are no negative values to show. */
  readonly low: number;
  readonly high: number;
  /** CSS colour. */
  color(value: number): string;
}

/**
 * Blue, white, red (ColorBrewer's RdBu, safe for colour blindness) with white at 0 and the same length both ways, so that
 * equal sizes look equally strong; all panels of a figure share one.
 * @param signed whether negative values can occur
 */
export function effectScale(values: Iterable<number>, signed: boolean): EffectScale {
  let limit = 0;
  for (const value of values) limit = Math.max(limit, Math.abs(value));
  const high = limit || 1;
  const scale = Plot.scale({
    color: { type: 'diverging', scheme: 'RdBu', reverse: true, domain: [-high, high] },
  });
  return { low: signed ? -high : 0, high, color: (value) => String(scale.apply(value)) };
}

/** Black or white, whichever reads better on an effect's colour. */
export function labelColor(value: number, { high }: EffectScale): string {
  return Math.abs(value) > 0.6 * high ? 'white' : 'black';
}

/** Matplotlib's "seismic", which the paper's overlays use: dark blue, blue, white, red, dark red at −1, −½, 0, ½, 1. */
const SEISMIC = [
  [0, 0, 76.5],
  [0, 0, 255],
  [255, 255, 255],
  [255, 0, 0],
  [127.5, 0, 0],
] as const;

/** @param value −1 … 1; beyond, the ends' colours */
export function seismic(value: number): [red: number, green: number, blue: number] {
  const place = (Math.min(Math.max(value, -1), 1) + 1) * 2;
  const index = Math.min(Math.floor(place), 3);
  const low = SEISMIC[index]!;
  const high = SEISMIC[index + 1]!;
  const mix = (channel: 0 | 1 | 2) => low[channel] + (place - index) * (high[channel] - low[channel]);
  return [mix(0), mix(1), mix(2)];
}
