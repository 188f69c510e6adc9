// Arguments at the door: what TypeScript forbids can still come from JavaScript, JSON or arithmetic. Every public function
// asks here before it computes anything, so that one kind of mistake has one kind of message.

import { NoticeError } from './errors.ts';

interface Range {
  /** Smallest allowed; default 0. */
  readonly from?: number;
  /** Largest allowed. */
  readonly to?: number;
}

/** @throws NoticeError('usage') unless `value` is a whole number in the range */
export function checkWhole(value: unknown, name: string, range: Range = {}): asserts value is number {
  if (isWhole(value, range)) return;
  refuse(name, value, `expected a whole number ${inWords(range)}`);
}

/** @throws NoticeError('usage') unless `value` is a list (an array, or an array of integers) of whole numbers in the range */
export function checkWholes(
  value: unknown,
  name: string,
  range: Range = {},
): asserts value is ArrayLike<number> {
  const expected = `whole numbers ${inWords(range)}`;
  checkList(value, name, expected);
  const wrong = Array.from(value).findIndex((item) => !isWhole(item, range));
  if (wrong >= 0) refuse(`${name}[${wrong}]`, value[wrong], `expected ${expected}`);
}

/** @throws NoticeError('usage') unless `value` is an array, or one of the typed ones */
export function checkList(
  value: unknown,
  name: string,
  items = 'numbers',
): asserts value is ArrayLike<unknown> {
  const typed = ArrayBuffer.isView(value) && !(value instanceof DataView);
  if (!Array.isArray(value) && !typed) refuse(name, value, `expected a list of ${items}`);
}

/** @throws NoticeError('usage') unless `value` is a finite number above 0, or Infinity where that means no limit */
export function checkPositive(
  value: unknown,
  name: string,
  { infinite = false }: { readonly infinite?: boolean } = {},
): asserts value is number {
  if (typeof value === 'number' && value > 0 && (infinite || value < Number.POSITIVE_INFINITY)) return;
  refuse(name, value, 'expected a positive number');
}

/** @throws NoticeError('usage') unless `value` is a finite number */
export function checkFinite(value: unknown, name: string): asserts value is number {
  if (!Number.isFinite(value)) refuse(name, value, 'expected a finite number');
}

/** @throws NoticeError('usage') unless `value` is an AbortSignal, or left out */
export function checkSignal(value: unknown): asserts value is AbortSignal | undefined {
  // One of another realm is as good.
  const { aborted, addEventListener } = (value ?? {}) as Partial<AbortSignal>;
  if (value === undefined || (typeof aborted === 'boolean' && typeof addEventListener === 'function')) return;
  refuse('signal', value, 'expected an AbortSignal');
}

/** @throws NoticeError('usage') unless `value` is one of the choices */
export function checkChoice<T extends string>(
  value: unknown,
  name: string,
  choices: readonly T[],
): asserts value is T {
  if (choices.includes(value as T)) return;
  refuse(name, value, `expected ${choices.map((choice) => JSON.stringify(choice)).join(' or ')}`);
}

/** @throws NoticeError('usage') unless `value` is true or false */
export function checkFlag(value: unknown, name: string): asserts value is boolean {
  if (typeof value !== 'boolean') refuse(name, value, 'expected true or false');
}

/** @throws NoticeError('usage') unless `value` is a text */
export function checkText(value: unknown, name: string): asserts value is string {
  if (typeof value !== 'string') refuse(name, value, 'expected a text');
}

/** @throws NoticeError('usage') unless every value is a function, or left out; they are named by their fields */
export function checkFunctions(values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values))
    if (value !== undefined && typeof value !== 'function') refuse(name, value, 'expected a function');
}

/**
 * An object with no other fields than the known ones: a misspelt option would be as good as left out, and a patch without
 * positions is one of all positions.
 *
 * @throws NoticeError('usage')
 */
export function checkFields(value: unknown, name: string, known: readonly string[]): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    refuse(name, value, 'expected an object');
  const unknown = Object.keys(value).find((field) => !known.includes(field));
  if (unknown !== undefined)
    throw new NoticeError('usage', `${name} has no field "${unknown}"; its fields are ${known.join(', ')}`);
}

/**
 * Values as the GPU takes them. Other lists of numbers have other bytes, which would be read as other numbers.
 *
 * @throws NoticeError('usage'), and NoticeError('shape') for another length
 */
export function checkFloats(value: unknown, name: string, length?: number): asserts value is Float32Array {
  if (!(value instanceof Float32Array))
    refuse(name, value, 'expected a Float32Array (Float32Array.from makes one)');
  if (length !== undefined && value.length !== length)
    throw new NoticeError('shape', `${name} has ${value.length} values, expected ${length}`);
}

function isWhole(value: unknown, { from = 0, to = Number.MAX_SAFE_INTEGER }: Range): boolean {
  return Number.isSafeInteger(value) && (value as number) >= from && (value as number) <= to;
}

function inWords({ from = 0, to }: Range): string {
  return to === undefined ? `from ${from}` : `from ${from} to ${to}`;
}

function refuse(name: string, value: unknown, expected: string): never {
  throw new NoticeError('usage', `${name} is ${shown(value)}, ${expected}`);
}

/** Short, and on one line: the value may be anything. */
function shown(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 40 ? `${value.slice(0, 40)}…` : value);
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  const kind = value.constructor?.name ?? 'Object';
  return `${/^[AEIOU]/.test(kind) ? 'an' : 'a'} ${kind}`;
}
