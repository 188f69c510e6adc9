// JSON with the place of the fault, and JSON as the reference reader of safetensors (serde_json) takes it apart.
// `JSON.parse` says where only sometimes (it depends on the engine and on the length of the text), keeps silently the
// last of two equal keys, and forgets whether a number was written 2 or 2.0.

/** serde_json's limit. */
const MAX_DEPTH = 127;
const MAX_U64 = 2n ** 64n - 1n;
const WHITESPACE = /[ \t\n\r]*/y;
/** What may stand between a string's quotes. Matched piece by piece: one long match exhausts the engine's stack. */
const STRING_PIECE = /[ !#-[\]-\uffff]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const LITERAL = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

/** A value in which nothing of the text is lost that the reference tells apart. */
export type JsonTree = null | boolean | string | bigint | number | readonly JsonTree[] | JsonMembers;

/** An object with its members in order, repeated keys and all. */
export class JsonMembers {
  readonly members: readonly (readonly [key: string, value: JsonTree])[];

  constructor(members: readonly (readonly [key: string, value: JsonTree])[]) {
    this.members = members;
  }
}

/**
 * `JSON.parse` whose SyntaxError says where the text is wrong.
 *
 * @param uniqueKeys also refuse an object in which a key stands twice
 */
export function parseJson(text: string, { uniqueKeys = false } = {}): unknown {
  if (uniqueKeys) checkJson(text);
  try {
    return JSON.parse(text);
  } catch (error) {
    checkJson(text);
    throw error;
  }
}

/** Throws SyntaxError with the place unless the text is JSON (RFC 8259) without repeated keys. */
export function checkJson(text: string): void {
  scan(text, { uniqueKeys: true, wellFormed: false });
}

/**
 * The text as serde_json reads it: whole numbers of 64 bits (written without point and exponent) are bigints, all others
 * numbers, which must not overflow; strings are well-formed Unicode; keys may repeat.
 *
 * @throws SyntaxError with the place
 */
export function parseJsonTree(text: string): JsonTree {
  return scan(text, { uniqueKeys: false, wellFormed: true });
}

/** A tree as JSON text, for messages. */
export function jsonText(tree: JsonTree): string {
  if (typeof tree === 'bigint') return String(tree);
  if (tree instanceof JsonMembers)
    return `{${tree.members.map(([key, value]) => `${JSON.stringify(key)}:${jsonText(value)}`).join(',')}}`;
  return Array.isArray(tree) ? `[${tree.map(jsonText).join(',')}]` : JSON.stringify(tree);
}

function scan(text: string, options: ScanOptions): JsonTree {
  return new Scanner(text, options).document();
}

interface ScanOptions {
  readonly uniqueKeys: boolean;
  /** Refuse lone surrogates and numbers that overflow. */
  readonly wellFormed: boolean;
}

class Scanner {
  readonly #text: string;
  readonly #options: ScanOptions;
  #at = 0;

  constructor(text: string, options: ScanOptions) {
    this.#text = text;
    this.#options = options;
  }

  document(): JsonTree {
    const tree = this.#value(0);
    this.#match(WHITESPACE);
    if (this.#at < this.#text.length) this.#expected('the end of the text');
    return tree;
  }

  #value(depth: number): JsonTree {
    const open = this.#take('{') ? '{' : this.#take('[') ? '[' : undefined;
    if (open && depth === MAX_DEPTH) this.#fail(`more than ${MAX_DEPTH} objects and lists inside each other`);
    if (open) return open === '{' ? this.#object(depth) : this.#list(depth);
    return this.#text[this.#at] === '"' ? this.#string() : this.#literal();
  }

  #object(depth: number): JsonMembers {
    const members: [string, JsonTree][] = [];
    const keys = new Set<string>();
    if (this.#take('}')) return new JsonMembers(members);
    do {
      const key = this.#string();
      if (this.#options.uniqueKeys && keys.has(key))
        this.#fail(`the key ${JSON.stringify(key.slice(0, 80))} stands twice; the second ends`);
      keys.add(key);
      if (!this.#take(':')) this.#expected('":"');
      members.push([key, this.#value(depth + 1)]);
    } while (this.#take(','));
    if (!this.#take('}')) this.#expected('"," or "}"');
    return new JsonMembers(members);
  }

  #list(depth: number): JsonTree[] {
    const items: JsonTree[] = [];
    if (this.#take(']')) return items;
    do items.push(this.#value(depth + 1));
    while (this.#take(','));
    if (!this.#take(']')) this.#expected('"," or "]"');
    return items;
  }

  #string(): string {
    const start = this.#at;
    if (!this.#take('"')) this.#expected('a string');
    while (this.#match(STRING_PIECE));
    if (this.#text[this.#at] !== '"') this.#expected('a character of a string or its end');
    const value = JSON.parse(this.#text.slice(start, ++this.#at)) as string;
    if (this.#options.wellFormed && /\p{Surrogate}/u.test(value))
      this.#fail('half of a surrogate pair in the string that ends');
    return value;
  }

  #literal(): JsonTree {
    const found = this.#match(LITERAL) || this.#expected('a value');
    if (found === 'null') return null;
    if (found === 'true' || found === 'false') return found === 'true';
    if (this.#options.wellFormed && overflows(found)) this.#fail('a number that is out of range, which ends');
    return numberOf(found);
  }

  /** What the pattern, which is sticky, finds here; it is passed. */
  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #take(character: string): boolean {
    this.#match(WHITESPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #expected(what: string): never {
    const found = this.#at < this.#text.length ? JSON.stringify(this.#text[this.#at]) : 'the end of the text';
    return this.#fail(`expected ${what}, found ${found}`);
  }

  #fail(problem: string): never {
    const before = this.#text.slice(0, this.#at);
    const line = before.split('\n').length;
    const column = this.#at - before.lastIndexOf('\n');
    throw new SyntaxError(`${problem} at position ${this.#at} (line ${line}, column ${column})`);
  }
}

/** A bigint if serde_json would make an u64 or i64 of it. */
function numberOf(literal: string): bigint | number {
  if (/[.eE]/.test(literal) || literal === '-0') return Number(literal);
  const whole = BigInt(literal);
  return whole > MAX_U64 || whole < -(2n ** 63n) ? Number(literal) : whole;
}

/**
 * Whether serde_json finds a number out of range. It multiplies as many digits as 64 bits hold by a power of ten; at the
 * border that differs from correct rounding.
 */
function overflows(literal: string): boolean {
  const [, whole, fraction = '', exponent = '0'] = /^-?(\d+)(?:\.(\d+))?(?:[eE](.+))?$/.exec(literal)!;
  let significand = 0n;
  let power = 0;
  for (const digit of whole!) {
    const next = significand * 10n + BigInt(digit);
    if (power > 0 || next > MAX_U64) power++;
    else significand = next;
  }
  for (const digit of fraction) {
    const next = significand * 10n + BigInt(digit);
    if (next > MAX_U64) break;
    significand = next;
    power--;
  }
  if (significand === 0n) return false;
  power += Number(exponent);
  return power > 308 || (power > 0 && !Number.isFinite(Number(significand) * Number(`1e${power}`)));
}
