// Colours of effects and of attention, both neutral at zero.

export type Color = readonly [red: number, green: number, blue: number];

/** A colour scale around zero. */
export interface EffectScale {
  /** Ends of the colour bar; low is −high, or 0 where there are no negative values to show. */
  readonly low: number;
  readonly high: number;
  /** CSS colour. */
  color(value: number): string;
}

/** ColorBrewer's RdBu with eleven colours, from blue to red: safe for colour blindness. */
const BLUE_TO_RED: readonly Color[] = [
  [5, 48, 97],
  [33, 102, 172],
  [67, 147, 195],
  [146, 197, 222],
  [209, 229, 240],
  [247, 247, 247],
  [253, 219, 199],
  [244, 165, 130],
  [214, 96, 77],
  [178, 24, 43],
  [103, 0, 31],
];

/** Of overlays, as in the paper's; the blue is lighter, to be seen on dark images. */
const MORE: Color = [255, 0, 0];
const LESS: Color = [40, 110, 255];
/** Of the strongest attention: the image still shows. */
const OPACITY = 0.8;

/**
 * Blue, near-white, red with near-white at 0 and the same length both ways, so that equal sizes look equally strong;
 * all panels of a figure share one.
 * @param signed whether negative values can occur
 */
export function effectScale(values: Iterable<number>, signed: boolean): EffectScale {
  let limit = 0;
  for (const value of values) limit = Math.max(limit, Math.abs(value));
  const high = limit || 1;
  return { low: signed ? -high : 0, high, color: (value) => css(mix(BLUE_TO_RED, value / high)) };
}

/** A scale to be laid over an image, red for more and blue for less. */
export interface OverlayScale extends EffectScale {
  rgb(value: number): Color;
  /** In proportion to the size of the value: the image is left as it is where that is 0. */
  opacity(value: number): number;
}

/** The scale of attention overlays; its `color` is that over white. */
export function attentionScale(high: number): OverlayScale {
  const rgb = (value: number) => (value < 0 ? LESS : MORE);
  const opacity = (value: number) => OPACITY * Math.min(Math.abs(value) / high, 1);
  const onWhite = (value: number) => layer([255, 255, 255], rgb(value), opacity(value));
  return { low: -high, high, rgb, opacity, color: (value) => css(onWhite(value)) };
}

/** A colour laid over another. */
export function layer(below: Color, above: Color, opacity: number): Color {
  const channel = (c: 0 | 1 | 2) => (1 - opacity) * below[c] + opacity * above[c];
  return [channel(0), channel(1), channel(2)];
}

/** Black or white, whichever reads better on an effect's colour. */
export function labelColor(value: number, { high }: EffectScale): string {
  return Math.abs(value) > 0.6 * high ? 'white' : 'black';
}

/** Linear between equally spaced colours from −1 to 1; beyond, the ends' colours. */
function mix(colors: readonly Color[], value: number): Color {
  const last = colors.length - 1;
  const place = ((Math.min(Math.max(value, -1), 1) + 1) / 2) * last;
  const index = Math.min(Math.floor(place), last - 1);
  const [low, high] = [colors[index]!, colors[index + 1]!];
  const channel = (c: 0 | 1 | 2) => low[c] + (place - index) * (high[c] - low[c]);
  return [channel(0), channel(1), channel(2)];
}

function css(color: Color): string {
  return `rgb(${color.map(Math.round).join(', ')})`;
}
