// Which pairs the embedded data has: `data/pairs.json`, written when the page is built.

/** A pair of the embedded data; paths are those below `data`. */
export interface EmbeddedPair {
  /** `scenes/002` */
  readonly id: string;
  readonly category: string;
  readonly clean: string;
  readonly corrupt: string;
  readonly question: string;
  readonly corruptQuestion: string;
  readonly correct: string;
  readonly incorrect: string;
}
