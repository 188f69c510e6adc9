// Jinja templates by @huggingface/jinja, within limits: a template comes with a model folder, and a hostile one must
// neither hang nor fill memory.

import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';

// The package's own declarations import each other without file extensions, which Node's module rules do not
// resolve: to TypeScript everything in it is `any`. Here is what is used of it, as declared there.

/** What an expression evaluates to: text, number, list of values, map of values, function. */
interface Value {
  readonly type: string;
  readonly value: unknown;
}

interface Scope {
  set(name: string, value: unknown): Value;
}

type Program = unknown;

interface LibraryInterpreter {
  run(program: Program): Value;
  evaluate(node: unknown, scope: Scope): Value | undefined;
}

/** Characters of a template. The library's time for reading one grows with the square of the white space in a run. */
const LONGEST_TEMPLATE = 65_536;
/** Characters of any one value, the result among them, with everything that lists and maps hold. */
const LONGEST_VALUE = 1_000_000;
/** Numbers that `range` makes. */
const LONGEST_RANGE = 10_000;
/** Steps, each with the characters or items that it yields. A conversation of a hundred turns takes a tenth of it. */
const MOST_WORK = 4_000_000;
/** What a step costs besides, and every item of a list that it yields: a loop may follow. */
const STEP = 16;
const ITEM = 40;

/** Raised by a template itself, with `raise_exception`. */
export class TemplateException extends Error {}

const Base = Interpreter as new (scope: Scope) => LibraryInterpreter;

class BoundedInterpreter extends Base {
  #work = 0;

  override evaluate(node: unknown, scope: Scope): Value | undefined {
    this.#spend(STEP);
    const value = super.evaluate(node, scope);
    if (typeof value?.value === 'string') this.#spend(value.value.length);
    if (Array.isArray(value?.value)) this.#spend(ITEM * value.value.length);
    if (value?.value instanceof Map) this.#spend(ITEM * value.value.size);
    if (this.#length(value, new Map()) > LONGEST_VALUE)
      throw new Error(`it makes a value of more than ${LONGEST_VALUE} characters`);
    return value;
  }

  /** Characters of a value written out. What occurs in it several times is looked at once: that may double every step. */
  #length(item: Value | undefined, known: Map<unknown, number>): number {
    const value = item?.value;
    if (typeof value === 'string') return value.length;
    if (!Array.isArray(value) && !(value instanceof Map)) return 1;
    const seen = known.get(value);
    if (seen !== undefined) return seen;
    known.set(value, Number.POSITIVE_INFINITY); // holds itself, unless it is done before it is met again
    const items = Array.isArray(value) ? (value as Value[]) : [...(value as Map<string, Value>).values()];
    this.#spend(items.length);
    const length = items.reduce((sum, item) => sum + 1 + this.#length(item, known), 1);
    known.set(value, length);
    return length;
  }

  #spend(work: number): void {
    this.#work += work;
    if (this.#work > MOST_WORK) throw new Error('it takes too many steps');
  }
}

export class JinjaTemplate {
  readonly #program: Program;

  /**
   * White space around blocks is treated as transformers has it (`trim_blocks`, `lstrip_blocks`); `{% generation %}` tags
   * leave no trace.
   *
   * @throws Error saying what is wrong with it
   */
  constructor(text: string) {
    if (text.length > LONGEST_TEMPLATE) throw new Error(`it has more than ${LONGEST_TEMPLATE} characters`);
    this.#program = parse(tokenize(text, { lstrip_blocks: true, trim_blocks: true }));
  }

  /**
   * @param variables plain values, seen by the template under their names
   * @param now what `strftime_now` says
   * @throws TemplateException from the template itself; Error if it fails or goes beyond a limit
   */
  render(variables: Readonly<Record<string, unknown>>, now: Date): string {
    const scope = new Environment() as Scope;
    const globals = {
      ...{ true: true, false: false, none: null, True: true, False: false, None: null },
      range,
      raise_exception: (message: unknown) => {
        throw new TemplateException(String(message));
      },
      strftime_now: (format: unknown) => formatDate(now, String(format)),
    };
    for (const [name, value] of Object.entries({ ...globals, ...variables })) scope.set(name, value);
    return String(new BoundedInterpreter(scope).run(this.#program).value);
  }
}

/** Python's. */
function range(first: unknown, second?: unknown, step: unknown = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const whole = [start, stop, step].every((value) => Number.isInteger(value)) && step !== 0;
  if (!whole) throw new Error('range takes whole numbers, and no step of 0');
  const length = Math.max(0, Math.ceil(((stop as number) - (start as number)) / (step as number)));
  if (length > LONGEST_RANGE)
    throw new Error(`a range of ${length} numbers; at most ${LONGEST_RANGE} are made`);
  return Array.from({ length }, (_, i) => (start as number) + i * (step as number));
}

const MONTHS = 'January February March April May June July August September October November December'.split(
  ' ',
);
const DAYS = 'Sunday Monday Tuesday Wednesday Thursday Friday Saturday'.split(' ');

/** Python's `strftime` in the C locale, local time, as far as templates use it; the library's speaks the user's language. */
function formatDate(date: Date, format: string): string {
  const pad = (value: number, length = 2) => String(value).padStart(length, '0');
  const [month, day] = [MONTHS[date.getMonth()]!, DAYS[date.getDay()]!];
  const fields: Record<string, string> = {
    ...{ '%': '%', Y: String(date.getFullYear()), y: pad(date.getFullYear() % 100) },
    ...{ m: pad(date.getMonth() + 1), B: month, b: month.slice(0, 3), d: pad(date.getDate()) },
    ...{ A: day, a: day.slice(0, 3), H: pad(date.getHours()), I: pad(date.getHours() % 12 || 12) },
    ...{ M: pad(date.getMinutes()), S: pad(date.getSeconds()), p: date.getHours() < 12 ? 'AM' : 'PM' },
  };
  return format.replace(/%(.)/gs, (all, field: string) => {
    const text = fields[field];
    if (text === undefined) throw new Error(`strftime_now does not know ${all}`);
    return text;
  });
}
