// What the figures of an analysis have in common.

import type { CellMetric, Corruption } from '../../analysis/cell.ts';
import type { Drawing } from '../plots/figure.ts';
import type { Analysis } from './analyse.ts';

export interface Figure {
  /** File name without extension. */
  readonly name: string;
  readonly drawing: Drawing;
  /** What its values are, where they may be in several measures. */
  readonly measure?: CellMetric;
  /** Whose pairs it shows, and corrupted how, where that is one way. */
  readonly tasks?: readonly string[];
  readonly corruption?: Corruption;
  /** Where its pairs can be looked at, by their names. */
  readonly links?: readonly { readonly name: string; readonly href: string }[];
  /** The same figure in a measure that the run did not choose: in the report alone. */
  readonly alternative?: boolean;
}

/** The noise floor of a measure, if there is one. */
export function noiseFloorOf({ noiseFloor }: Analysis, measure: CellMetric): { noiseFloor?: number } {
  const found = noiseFloor(measure);
  return found === undefined ? {} : { noiseFloor: found };
}
