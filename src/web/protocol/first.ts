// What is known when the page is built: of the first pair (`first.json`), shown before the model is loaded, and which pairs
// the embedded data has (`data/pairs.json`).

import type { SiteShape } from './patching.ts';
import type { CorruptionName, ModelInfo, PairText } from './session.ts';

export interface FirstPage {
  readonly model: ModelInfo;
  readonly pair: PairText;
  readonly maps: readonly FirstMap[];
}

/** What `notice sweep` measured at a site. */
export interface FirstMap extends SiteShape {
  readonly corruption: CorruptionName;
  /** [layer, head, position, number] or [layer, position, number], the four of `METRICS`; null where a number is none. */
  readonly data: readonly (number | null)[];
}

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
