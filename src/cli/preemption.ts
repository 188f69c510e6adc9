// SIGTERM, by which schedulers take back a machine: the run ends after the part in flight, and the same command goes on.

import { NoticeError } from '../errors.ts';

/** Exit status of a call that was told to end with work left, or comes too early: EX_TEMPFAIL of sysexits.h, "try again". */
export const INTERRUPTED_STATUS = 75;

/** Listens to SIGTERM until it is stopped. */
export class Preemption {
  readonly #controller = new AbortController();
  #begun = false;

  constructor() {
    process.on('SIGTERM', this.#end);
  }

  /** From now on there are results to keep. Before, as while a model is loaded, SIGTERM ends the process at once. */
  begin(): AbortSignal {
    this.#begun = true;
    return this.#controller.signal;
  }

  stop(): void {
    process.off('SIGTERM', this.#end);
  }

  readonly #end = (): void => {
    if (!this.#begun) process.exit(INTERRUPTED_STATUS);
    this.#controller.abort(
      new NoticeError(
        'interrupted',
        'ended by SIGTERM; what was computed is kept, and the same command goes on from there',
      ),
    );
  };
}
