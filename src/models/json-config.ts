// Reading config.json: every field has a type, a default that transformers' class has, and a name for messages.

import { NoticeError } from '../errors.ts';

export class JsonConfig {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #path: string;

  constructor(values: unknown, path: string) {
    if (typeof values !== 'object' || values === null || Array.isArray(values))
      throw new NoticeError('config', `${path}: expected an object, found ${JSON.stringify(values)}`);
    this.#values = values as Record<string, unknown>;
    this.#path = path;
  }

  /** A nested object; an absent one is empty. */
  section(name: string): JsonConfig {
    return new JsonConfig(this.#values[name] ?? {}, `${this.#path}: ${name}`);
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined && this.#values[name] !== null;
  }

  /** A positive integer. */
  size(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (!Number.isSafeInteger(value) || (value as number) <= 0)
      throw this.#wrong(name, 'a positive integer', value);
    return value as number;
  }

  /** An integer of any sign. */
  integer(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (!Number.isSafeInteger(value)) throw this.#wrong(name, 'an integer', value);
    return value as number;
  }

  number(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (typeof value !== 'number' || !Number.isFinite(value)) throw this.#wrong(name, 'a number', value);
    return value;
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.#get(name, fallback);
    if (typeof value !== 'boolean') throw this.#wrong(name, 'true or false', value);
    return value;
  }

  /** An integer or a list of them. */
  integers(name: string, fallback?: readonly number[]): readonly number[] {
    const value = this.#get(name, fallback);
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every(Number.isSafeInteger)) throw this.#wrong(name, 'an integer or a list of integers', value);
    return list as readonly number[];
  }

  /** One of some strings. */
  choice<T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const value = this.#get(name, fallback);
    if (!choices.includes(value as T)) throw this.#wrong(name, `one of ${choices.join(', ')}`, value);
    return value as T;
  }

  /** Fails with a message about this section. */
  fail(message: string): never {
    throw new NoticeError('config', `${this.#path}: ${message}`);
  }

  #get(name: string, fallback: unknown): unknown {
    const value = this.#values[name] ?? fallback;
    if (value === undefined) throw new NoticeError('config', `${this.#path}: "${name}" is missing`);
    return value;
  }

  #wrong(name: string, expected: string, found: unknown): NoticeError {
    return new NoticeError(
      'config',
      `${this.#path}: "${name}" should be ${expected}, found ${JSON.stringify(found)}`,
    );
  }
}
