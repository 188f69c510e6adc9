// JSON with the place of the fault. `JSON.parse` says where only sometimes (it depends on the engine and on the
// length of the text), and of a key that stands twice it silently keeps the last.

/** The reference reader of safetensors (serde_json) has the same limit. */
const MAX_DEPTH = 128;
const WHITESPACE = /[ \t\n\r]*/y;
/** What may stand between a string's quotes. Matched piece by piece: one long match exhausts the engine's stack. */
const STRING_PIECE = /[ !#-[\]-\uffff]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y;
const LITERAL = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

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
  let at = 0;

  const fail = (problem: string): never => {
    const before = text.slice(0, at);
    const line = before.split('\n').length;
    const column = at - before.lastIndexOf('\n');
    throw new SyntaxError(`${problem} at position ${at} (line ${line}, column ${column})`);
  };
  const expected = (what: string): never =>
    fail(`expected ${what}, found ${at < text.length ? JSON.stringify(text[at]) : 'the end of the text'}`);

  const match = (pattern: RegExp): string => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0] ?? '';
    at += found.length;
    return found;
  };
  const take = (character: string): boolean => {
    match(WHITESPACE);
    if (text[at] !== character) return false;
    at++;
    return true;
  };

  const string = (): string => {
    const start = at;
    if (!take('"')) expected('a string');
    while (match(STRING_PIECE));
    if (text[at] !== '"') expected('a character of a string or its end');
    return JSON.parse(text.slice(start, ++at)) as string;
  };
  const object = (depth: number): void => {
    const keys = new Set<string>();
    if (take('}')) return;
    do {
      const key = string();
      if (keys.has(key)) fail(`the key ${JSON.stringify(key.slice(0, 80))} stands twice; the second ends`);
      keys.add(key);
      if (!take(':')) expected('":"');
      value(depth + 1);
    } while (take(','));
    if (!take('}')) expected('"," or "}"');
  };
  const list = (depth: number): void => {
    if (take(']')) return;
    do value(depth + 1);
    while (take(','));
    if (!take(']')) expected('"," or "]"');
  };
  const value = (depth: number): void => {
    const inside = take('{') ? object : take('[') ? list : undefined;
    if (inside && depth === MAX_DEPTH) fail(`more than ${MAX_DEPTH} objects and lists inside each other`);
    if (inside) inside(depth);
    else if (text[at] === '"') string();
    else if (!match(LITERAL)) expected('a value');
  };

  value(0);
  match(WHITESPACE);
  if (at < text.length) expected('the end of the text');
}
