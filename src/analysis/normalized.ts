// The normalised effect (LD′ − LD*) / (LD − LD*): the share of the corruption that a patch undoes. It is undefined where clean
// and corrupt run do not differ.

import type { CellRow } from './cell.ts';
import type { Cells } from './effects.ts';
import { mean } from './statistics.ts';

/** What is patched, over all samples. */
export interface CellPlace extends Pick<CellRow, 'task' | 'corruption' | 'site' | 'layer' | 'head'> {
  /** Of heads only `last` counts: those of the answer's tokens belong together. */
  readonly role: string;
}

export interface NormalizedEffect {
  /** Mean over samples; several tokens of a role, and draws of noise, are averaged first. Undefined if none is defined. */
  readonly mean: number | undefined;
  /** Cells without a normalised effect, which are left out of the mean. */
  readonly leftOut: number;
}

export async function normalizedEffects(cells: Cells): Promise<(place: CellPlace) => NormalizedEffect> {
  const places = new Map<string, { samples: Map<string, number[]>; leftOut: number }>();
  for await (const cell of cells) {
    const key = keyOf(cell);
    const place = places.get(key) ?? { samples: new Map<string, number[]>(), leftOut: 0 };
    places.set(key, place);
    if (cell.normalized === null) place.leftOut++;
    else place.samples.set(cell.sample, [...(place.samples.get(cell.sample) ?? []), cell.normalized]);
  }
  return (place) => {
    const { samples, leftOut } = places.get(keyOf(place)) ?? {
      samples: new Map<string, number[]>(),
      leftOut: 0,
    };
    const means = [...samples.values()].map(mean);
    return { mean: means.length > 0 ? mean(means) : undefined, leftOut };
  };
}

function keyOf({ task, corruption, site, layer, head, role }: CellPlace): string {
  return JSON.stringify([task, corruption, site, layer, head, head === null || role === 'last' ? role : '']);
}
