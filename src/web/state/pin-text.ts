// Pins and numbers in words.

import type { Pin } from '../protocol/pins.ts';
import type { PromptToken } from '../protocol/session.ts';

/**
 * What is pinned: `cross_attn.hook_z, layers 0–3, head 2, tokens heart or`.
 *
 * @param patchKeys key of every patch of the image, in the attention that reads it
 */
export function pinText(pin: Pin, tokens: readonly PromptToken[], patchKeys: readonly number[] = []): string {
  if (pin.kind === 'patches') return counted('patch', 'patches', pin.patches);
  if (pin.kind === 'cut') {
    const { attention, from, to, layers, heads } = pin;
    const patches = from.flatMap((key) => (patchKeys.includes(key) ? patchKeys.indexOf(key) : []));
    const others = from.filter((key) => !patchKeys.includes(key));
    const keys = [
      ...(patches.length > 0 ? [counted('patch', 'patches', patches)] : []),
      ...(others.length > 0 ? [positionText(others, tokens)] : []),
    ].join(' and ');
    return [
      `${attention}: ${positionText(to, tokens)} cannot see ${keys}`,
      layers ? counted('layer', 'layers', layers) : 'all layers',
      heads ? counted('head', 'heads', heads) : 'all heads',
    ].join(', ');
  }
  const layers = pin.hooks.flatMap((hook) => /\.blocks\.(\d+)\./.exec(hook)?.[1] ?? []).map(Number);
  const [site = ''] = pin.hooks.map((hook) => hook.replace(/\.blocks\.\d+/, ''));
  return [
    site,
    ...(layers.length > 0 ? [counted('layer', 'layers', layers)] : []),
    ...(pin.heads ? [counted('head', 'heads', pin.heads)] : []),
    pin.positions ? positionText(pin.positions, tokens) : 'all positions',
  ].join(', ');
}

function positionText(positions: readonly number[], tokens: readonly PromptToken[]): string {
  const texts = positions.map((position) => tokens.find((token) => token.position === position)?.text);
  if (texts.length > 6 || texts.includes(undefined)) return counted('position', 'positions', positions);
  return `${texts.length === 1 ? 'token' : 'tokens'} ${texts.join(' ')}`;
}

/** `layers 0–3, 7` */
export function counted(one: string, many: string, numbers: readonly number[]): string {
  return `${numbers.length === 1 ? one : many} ${rangesText(numbers)}`;
}

/** `0–3, 7` */
export function rangesText(numbers: readonly number[]): string {
  const sorted = [...numbers].sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const number of sorted) {
    const last = ranges.at(-1);
    if (last && number <= last[1] + 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? `${first}` : `${first}–${last}`)).join(', ');
}

/**
 * Numbers from a text like `0-3, 7`.
 *
 * @returns undefined for an empty text, which means all; 'wrong' for what is none, or beyond `count`
 */
export function numbersIn(text: string, count: number): number[] | undefined | 'wrong' {
  if (text.trim() === '' || text.trim() === 'all') return undefined;
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const found = /^\s*(\d+)(?:\s*[-–]\s*(\d+))?\s*$/.exec(part);
    if (!found) return 'wrong';
    const first = Number(found[1]);
    const last = Number(found[2] ?? found[1]);
    if (last >= count || last < first) return 'wrong';
    for (let n = first; n <= last; n++) numbers.add(n);
  }
  return [...numbers].sort((a, b) => a - b);
}
