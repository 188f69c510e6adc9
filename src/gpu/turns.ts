import { abortable, checkAborted } from '../abort.ts';

/** A turn that one at a time has, in the order in which they asked. */
export class Turns {
  readonly #waiting: (() => void)[] = [];
  #taken = false;

  /**
   * Waits for the turn. Whoever has it must {@link pass} it on.
   *
   * @throws the reason of a signal that aborts; the turn is not taken then
   */
  async take(signals: readonly AbortSignal[]): Promise<void> {
    checkAborted(signals);
    if (!this.#taken) {
      this.#taken = true;
      return;
    }
    let begin = () => {};
    const turn = new Promise<void>((resolve) => {
      begin = resolve;
    });
    this.#waiting.push(begin);
    try {
      await abortable(turn, signals);
    } catch (error) {
      const place = this.#waiting.indexOf(begin);
      if (place >= 0) this.#waiting.splice(place, 1);
      else this.pass(); // it came at the same moment
      throw error;
    }
  }

  pass(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#taken = false;
  }
}
