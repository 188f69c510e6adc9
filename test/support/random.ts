/** Random numbers that are the same in every run (mulberry32 by Tommy Ettinger, public domain). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** In [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }

  /** In [0, below). */
  integer(below: number): number {
    return Math.floor(this.next() * below);
  }

  /** f32 values in [centre − spread, centre + spread). */
  vector(length: number, { centre = 0, spread = 1 } = {}): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length }, () => centre + spread * (2 * this.next() - 1));
  }

  matrix(
    rows: number,
    columns: number,
    options?: { centre?: number; spread?: number },
  ): Float32Array<ArrayBuffer>[] {
    return Array.from({ length: rows }, () => this.vector(columns, options));
  }

  /** 0 to length − 1 in random order. */
  permutation(length: number): number[] {
    const order = Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  }
}
