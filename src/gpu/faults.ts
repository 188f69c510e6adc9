// What the device refuses is said by error scopes. They are a stack of the whole device, so none here stays open beyond
// one synchronous call: no command of anybody else can fall into it.

import { GpuDriverError, GpuValidationError, OutOfMemoryError, ShaderError } from './errors.ts';

/** What was wrong with a call, once the device has said so; undefined if nothing was. It never rejects. */
export type Verdict = Promise<Error | undefined>;

type Filter = 'validation' | 'out-of-memory' | 'internal';

/** The error that a refusal becomes, by the kind of refusal that is looked for. */
export type Refusals = Partial<Record<Filter, (message: string) => Error | Promise<Error>>>;

/** Makes a call and tells what the device makes of it. */
export function guarded<T>(
  device: GPUDevice,
  refusals: Refusals,
  call: () => T,
): { readonly value: T; readonly verdict: Verdict } {
  const filters = Object.keys(refusals) as Filter[];
  for (const filter of filters) device.pushErrorScope(filter);
  const verdicts: Verdict[] = [];
  try {
    const value = call();
    return { value, verdict: Promise.resolve().then(() => firstOf(verdicts)) };
  } finally {
    for (const filter of filters.reverse())
      verdicts.push(
        device.popErrorScope().then(
          (error) => (error ? refusals[filter]?.(error.message) : undefined),
          () => undefined, // the device is lost; that has its own report
        ),
      );
  }
}

async function firstOf(verdicts: readonly Verdict[]): Promise<Error | undefined> {
  return (await Promise.all(verdicts)).find((error) => error !== undefined);
}

/** The faults of one piece of work. */
export class Faults {
  readonly #open = new Set<Verdict>();
  readonly #found: Error[] = [];

  /** Takes note of a call's verdict when it comes. */
  watch(verdict: Verdict): void {
    if (this.#open.has(verdict)) return;
    this.#open.add(verdict);
    void verdict.then((error) => {
      if (error && !this.#found.includes(error)) this.#found.push(error);
      this.#open.delete(verdict);
    });
  }

  /** Waits until every call so far has been judged. */
  async settled(): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
  }

  /** The cause, where one fault brought others with it: a shader, then the driver, memory, and a command that uses what is not there. */
  get first(): Error | undefined {
    for (const kind of [ShaderError, GpuDriverError, OutOfMemoryError, GpuValidationError]) {
      const error = this.#found.find((candidate) => candidate instanceof kind);
      if (error) return error;
    }
    return this.#found[0];
  }
}
