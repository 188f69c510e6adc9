// Reading config.json: every field has a type, a default that transformers' class has, and a name for messages.

import { NoticeError } from '../errors.ts';

/** Of a width, a vocabulary, a number of positions; the largest known are a good half of it. */
const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 2 ** 10;

function isToken(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isFloat(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(Math.fround(value));
}

export class JsonConfig {
  readonly #values: Record<string, unknown>;
  readonly #path: string;

  /** @param aliases other names of fields: transformers' `attribute_map` */
  constructor(values: unknown, path: string, aliases: Readonly<Record<string, string>> = {}) {
    this.#path = path;
    if (typeof values !== 'object' || values === null || Array.isArray(values))
      throw new NoticeError('config', `${path}: expected an object, found ${JSON.stringify(values)}`);
    this.#values = { ...values };
    for (const [alias, name] of Object.entries(aliases)) {
      if (!this.has(alias)) continue;
      if (this.has(name) && this.#values[name] !== this.#values[alias])
        this.fail(
          `"${name}" is ${JSON.stringify(this.#values[name])} and "${alias}", its other name, differs`,
        );
      this.#values[name] = this.#values[alias];
    }
  }

  /** A nested object; an absent one is empty. */
  section(name: string): JsonConfig {
    return new JsonConfig(this.#values[name] ?? {}, `${this.#path}: ${name}`);
  }

  /** The same without a field. */
  without(name: string): JsonConfig {
    return new JsonConfig({ ...this.#values, [name]: undefined }, this.#path);
  }

  has(name: string): boolean {
    return this.#values[name] !== undefined && this.#values[name] !== null;
  }

  /** A positive integer up to `most`: beyond, a file is wrong and loops over it would not end. */
  size(name: string, fallback?: number, most = MAX_SIZE): number {
    const value = this.#get(name, fallback);
    if (!Number.isSafeInteger(value) || (value as number) <= 0 || (value as number) > most)
      throw this.#wrong(name, `a positive integer up to ${most}`, value);
    return value as number;
  }

  /** How many blocks a tower has. */
  layers(name: string, fallback?: number): number {
    return this.size(name, fallback, MAX_LAYERS);
  }

  /** A token's id. */
  token(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (!isToken(value)) throw this.#wrong(name, 'a token id, an integer from 0', value);
    return value;
  }

  /** A token's id or several. */
  tokens(name: string, fallback?: readonly number[]): readonly number[] {
    const value = this.#get(name, fallback);
    const list: readonly unknown[] = Array.isArray(value) ? value : [value];
    if (!list.every(isToken)) throw this.#wrong(name, 'a token id or a list of them', value);
    return list;
  }

  /** Positive integers. */
  sizes(name: string, fallback?: readonly number[]): readonly number[] {
    return this.#list(name, 'a list of positive integers', 1, fallback);
  }

  /** Pairs of positive integers. */
  pairs(
    name: string,
    fallback?: readonly (readonly [number, number])[],
  ): readonly (readonly [number, number])[] {
    const value = this.#get(name, fallback);
    const isPair = (pair: unknown): pair is [number, number] =>
      Array.isArray(pair) &&
      pair.length === 2 &&
      pair.every((side) => Number.isSafeInteger(side) && side > 0);
    if (!Array.isArray(value) || value.length === 0 || !value.every(isPair))
      throw this.#wrong(name, 'a list of pairs of positive integers', value);
    return value;
  }

  /** Numbers of blocks, counted from 0. */
  indices(name: string, fallback?: readonly number[]): readonly number[] {
    return this.#list(name, 'a list of integers from 0', 0, fallback);
  }

  /** An integer of any sign. */
  integer(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (!Number.isSafeInteger(value)) throw this.#wrong(name, 'an integer', value);
    return value as number;
  }

  /** What a norm adds to the variance: a number from 0 that float32 can hold. */
  eps(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (!isFloat(value) || value < 0) throw this.#wrong(name, 'a number from 0', value);
    return value;
  }

  /** A positive number that float32 can hold. */
  positive(name: string, fallback?: number): number {
    const value = this.#get(name, fallback);
    if (!isFloat(value) || Math.fround(value) <= 0) throw this.#wrong(name, 'a positive number', value);
    return value;
  }

  /** A positive number, or none: null where the default is a number. */
  cap(name: string, fallback?: number): number | undefined {
    if (this.#values[name] === null) return undefined;
    return this.has(name) || fallback !== undefined ? this.positive(name, fallback) : undefined;
  }

  boolean(name: string, fallback?: boolean): boolean {
    const value = this.#get(name, fallback);
    if (typeof value !== 'boolean') throw this.#wrong(name, 'true or false', value);
    return value;
  }

  text(name: string, fallback?: string): string {
    const value = this.#get(name, fallback);
    if (typeof value !== 'string') throw this.#wrong(name, 'a text', value);
    return value;
  }

  /** One of some strings. */
  choice<T extends string>(name: string, choices: readonly T[], fallback?: T): T {
    const value = this.#get(name, fallback);
    if (!choices.includes(value as T)) throw this.#wrong(name, `one of ${choices.join(', ')}`, value);
    return value as T;
  }

  /** A list of `count` of some strings. */
  choices<T extends string>(
    name: string,
    choices: readonly T[],
    count: number,
    fallback?: readonly T[],
  ): readonly T[] {
    const value = this.#get(name, fallback);
    if (!Array.isArray(value) || value.length !== count || !value.every((one) => choices.includes(one)))
      throw this.#wrong(name, `${count} of ${choices.join(', ')}`, value);
    return value;
  }

  /** Fails with a message about this section. */
  fail(message: string): never {
    throw new NoticeError('config', `${this.#path}: ${message}`);
  }

  #list(name: string, expected: string, least: number, fallback?: readonly number[]): readonly number[] {
    const value = this.#get(name, fallback);
    if (!Array.isArray(value) || !value.every((item) => isToken(item) && item >= least && item <= MAX_SIZE))
      throw this.#wrong(name, expected, value);
    return value;
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

/**
 * Tokens that end an answer: those of generation_config.json, else config.json's, else `usual`.
 *
 * @param generation generation_config.json, empty where there is none
 * @throws NoticeError('config')
 */
export function stopTokensOf(
  config: JsonConfig,
  generation: unknown,
  usual: readonly number[],
): readonly number[] {
  const stop = config.tokens('eos_token_id', usual);
  return new JsonConfig(generation, 'generation_config.json').tokens('eos_token_id', stop);
}
