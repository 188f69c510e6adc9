// The maps of the pair that is looked at, and how far their sweep is.

import { computed, effect, signal } from '@preact/signals';
import { METRICS } from '../../patching/index.ts';
import type { SiteShape, SweepEvent, SweepSpec, SweptSite } from '../protocol/patching.ts';
import type { CorruptionName, ModelInfo, PairInfo } from '../protocol/session.ts';
import { doing, model, pair } from './app.ts';
import { cancel, run } from './engine.ts';
import { firstMaps, isFirst } from './first.ts';
import { corruption } from './patched.ts';

export type MetricName = (typeof METRICS)[number];

/** A site's numbers for one corruption. */
export interface SiteMap extends SiteShape {
  readonly corruption: CorruptionName;
  /** [cell, number] as a sweep arranges them; NaN where it has not come yet. */
  readonly data: Float32Array;
}

/** Which of a cell's numbers the maps show. */
export const metric = signal<MetricName>('ld_effect');
/** Sites that are swept beside the heads; undefined: those of the paper. */
export const chosenSites = signal<readonly string[] | undefined>(undefined);
export const maps = signal<readonly SiteMap[]>([]);
export const sweeping = signal<{ readonly done: number; readonly cells: number } | undefined>(undefined);
export const noiseFloor = signal<number | undefined>(undefined);

/** What a sweep of the pair is asked for: modules at every token of the text, heads at the tokens of the correct option. */
export const sweepSpec = computed<SweepSpec | undefined>(() => {
  const [open, shown] = [model.value, pair.value];
  return open && shown && specOf(open, shown, chosenSites.value ?? open.moduleSites);
});

export function specOf(open: ModelInfo, shown: PairInfo, modules: readonly string[]): SweepSpec {
  const tokens = shown.tokens.filter(({ role }) => role !== 'image').map(({ position }) => [position]);
  const sites = open.towers.flatMap((tower) => tower.sites.map(({ site }) => ({ site, tower: tower.name })));
  return {
    corruptions: (['image', 'text'] as const).filter((name) => shown.corrupt[name]),
    sites: [
      ...sites
        .filter(({ site, tower }) => modules.includes(site) && tower === open.promptTower)
        .map(({ site }): SweptSite => ({ site, heads: false, positions: tokens })),
      { site: open.headSite, heads: true, positions: shown.headGroups.map(({ positions }) => positions) },
    ],
  };
}

/** What each head restores in the corrupt run that is patched, by the last sweep: [layer, head] of a hook name without block. */
export const headEffects = computed(() => {
  const map = maps.value.find((one) => one.heads !== undefined && one.corruption === corruption.value);
  if (!map?.heads) return undefined;
  const { site, layers, heads, positions, data } = map;
  const at = METRICS.indexOf(metric.value);
  const effects = Float32Array.from(
    { length: layers.length * heads },
    (_, cell) => data[METRICS.length * cell * positions.length + at] as number,
  );
  return { site, layers, heads, effects };
});

/** Counts the sweeps that were begun. */
let sweeps = 0;

/** Computes the maps anew. */
export async function sweepNow(): Promise<void> {
  const spec = sweepSpec.value;
  if (!spec) return;
  maps.value = [];
  noiseFloor.value = undefined;
  let done = 0;
  const mine = ++sweeps;
  await doing('Sweeping', async () => {
    try {
      const onEvent = (event: SweepEvent) => {
        if (event.kind === 'begin') {
          maps.value = emptyMaps(spec, event.sites);
          sweeping.value = { done, cells: event.cells };
        } else {
          maps.value = withCells(maps.value, spec, event);
          done += event.indices.length;
          sweeping.value = sweeping.value && { ...sweeping.value, done };
        }
      };
      const summary = await run('sweep', spec, { onEvent });
      noiseFloor.value = summary.noiseFloor;
    } finally {
      // One that was cancelled by a newer one says nothing of that.
      if (mine === sweeps) sweeping.value = undefined;
    }
  });
}

export function stopSweep(): void {
  cancel('sweep');
}

function emptyMaps(spec: SweepSpec, sites: readonly SiteShape[]): SiteMap[] {
  return spec.corruptions.flatMap((corruption) =>
    sites.map((site) => ({
      ...site,
      corruption,
      data: new Float32Array(cellCount(site) * METRICS.length).fill(Number.NaN),
    })),
  );
}

function cellCount({ layers, heads = 1, positions }: SiteShape): number {
  return layers.length * heads * positions.length;
}

function withCells(
  list: readonly SiteMap[],
  { corruptions }: SweepSpec,
  { corruption, site, indices, numbers }: Extract<SweepEvent, { kind: 'cells' }>,
): SiteMap[] {
  const at = corruptions.indexOf(corruption) * (list.length / corruptions.length) + site;
  const width = METRICS.length;
  return list.map((map, i) => {
    if (i !== at) return map;
    const data = map.data.slice();
    indices.forEach((index, cell) => {
      data.set(numbers.subarray(width * cell, width * (cell + 1)), width * index);
    });
    return { ...map, data };
  });
}

/** What a model of this size is swept for without being asked. */
const SWEPT_UNASKED = 64 * 2 ** 20;

/** Sweeps whatever pair is looked at from now on; of large models only when asked. */
export function sweepAlong(): () => void {
  return effect(() => {
    if (!sweepSpec.value) {
      stopSweep();
      maps.value = [];
    } else if (firstMaps.value && isFirst(model.value, pair.value) && !chosenSites.value) {
      // `notice sweep` has measured them when the page was built.
      maps.value = firstMaps.value;
    } else if ((model.peek()?.weightBytes ?? 0) <= SWEPT_UNASKED) void sweepNow();
  });
}
