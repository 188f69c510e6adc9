// What a walk measures: patches, and changes of the corrupt run that are more than one patch.

import type { ModelRun } from '../models/index.ts';
import type { Batch } from './batch.ts';
import type { Cell, Change } from './cells.ts';
import type { RunIntervention } from './intervention.ts';

/** A run whose numbers are wanted. */
export interface Measured {
  readonly pair: number;
  readonly run: ModelRun;
  readonly interventions: readonly RunIntervention[];
}

/** A change that is not one patch: it says itself which run is measured. */
export interface Edited extends Change {
  /** What messages call it, "the knock-out". */
  readonly name: string;
  /** Adds the run to those of a walk; others that it takes, too. */
  measured(batch: Batch): Omit<Measured, 'pair'>;
  /** The same with the corrupt run's own values, for a control: it changes nothing. */
  readonly nullRun?: (batch: Batch) => Omit<Measured, 'pair'>;
}

/** What messages call a cell. */
export function nameOf(cell: Cell | Edited): string {
  return isPatch(cell) ? 'the patch' : cell.name;
}

export function isPatch(cell: Cell | Edited): cell is Cell {
  return !('measured' in cell);
}
