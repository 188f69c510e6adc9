// Fields of a preprocessor_config.json: each with its type, its default, and its name in what is thrown.

import { NoticeError } from '../../errors.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function fail(problem: string): never {
  throw new NoticeError('config', problem);
}

export function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function show(value: unknown): string {
  return JSON.stringify(value) ?? 'missing';
}

export function flag(json: Fields, name: string, usual = true): boolean {
  const value = json[name] ?? usual;
  return typeof value === 'boolean' ? value : fail(`${name} is ${show(value)}; expected true or false.`);
}

export function number(value: unknown, name: string): number {
  // Not 1e300 either: it is computed in float32.
  return typeof value === 'number' && Number.isFinite(Math.fround(value))
    ? value
    : fail(`${name} is ${show(value)}; expected a number.`);
}

export function whole(value: unknown, name: string, unit = 'pixels'): number {
  return Number.isSafeInteger(value) && (value as number) > 0
    ? (value as number)
    : fail(`${name} is ${show(value)}; expected a number of ${unit}.`);
}

/** Three numbers, or one for all channels. */
export function channels(value: unknown, name: string): number[] {
  if (typeof value === 'number') return Array<number>(3).fill(number(value, name));
  if (!Array.isArray(value) || value.length !== 3) fail(`${name} is ${show(value)}; expected three numbers.`);
  return value.map((entry, channel) => number(entry, `${name}[${channel}]`));
}

export interface Size {
  readonly width: number;
  readonly height: number;
}

export function widthAndHeight(size: unknown, name: string): Size {
  if (!isObject(size) || !('height' in size && 'width' in size)) {
    fail(`${name} is ${show(size)}; expected height and width.`);
  }
  return { width: whole(size.width, `${name}.width`), height: whole(size.height, `${name}.height`) };
}

/** The side of a square: a number, `{ height, width }` that are equal, or `{ shortest_edge }`. */
export function squareSide(size: unknown, name: string): number {
  if (typeof size === 'number') return whole(size, name);
  if (isObject(size) && 'shortest_edge' in size) return whole(size.shortest_edge, `${name}.shortest_edge`);
  const { width, height } = widthAndHeight(size, name);
  return width === height ? width : fail(`${name} is ${show(size)}; expected a square.`);
}

/** For the steps without which the model cannot read the picture. */
export function mustBeOn(json: Fields, name: string): void {
  if (!flag(json, name)) fail(`${name} is false; this image processor is supported with it only.`);
}
