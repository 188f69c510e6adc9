// Pins that come from outside the page: only what a pin can be is let in.

import type { Pin } from '../protocol/pins.ts';

/** @returns undefined if anything in the list is no pin */
export function pinsIn(value: unknown): readonly Pin[] | undefined {
  if (!Array.isArray(value) || !value.every(isPin)) return undefined;
  const ids = new Set(value.map(({ id }) => id));
  return ids.size === value.length ? value : undefined;
}

type Fields = Readonly<Record<string, unknown>>;

function isPin(value: unknown): value is Pin {
  const pin = (typeof value === 'object' && value !== null ? value : {}) as Fields;
  const { id, on, kind } = pin;
  if (!isWhole(id) || typeof on !== 'boolean') return false;
  if (kind === 'edit')
    return isTexts(pin.hooks) && isMaybe(pin.positions) && isMaybe(pin.heads) && isOperation(pin.operation);
  if (kind === 'cut')
    return (
      typeof pin.attention === 'string' &&
      isWholes(pin.from) &&
      isWholes(pin.to) &&
      isMaybe(pin.layers) &&
      isMaybe(pin.heads)
    );
  return (
    kind === 'patches' &&
    isWholes(pin.patches) &&
    ['zero', 'mean', 'restore'].includes(pin.operation as string)
  );
}

function isOperation(value: unknown): boolean {
  const { kind, factor, share } = (value ?? {}) as Fields;
  if (kind === 'scale' || kind === 'add') return Number.isFinite(factor);
  if (kind === 'interpolate') return Number.isFinite(share);
  return kind === 'replace' || kind === 'zero' || kind === 'mean';
}

function isWhole(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isWholes(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every(isWhole);
}

function isMaybe(value: unknown): boolean {
  return value === undefined || isWholes(value);
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((text) => typeof text === 'string');
}
