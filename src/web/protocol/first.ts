// What is known of the first pair when the page is built (`first.json`): it is shown before the model is loaded.

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
