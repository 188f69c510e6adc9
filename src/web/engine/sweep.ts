// Sweeps of the pair that is looked at, told cell by cell.

import { METRICS, type MeasuredCell, type SweepJob, sweep } from '../../patching/index.ts';
import { prepareJob } from '../../patching/sweep.ts';
import type { SweepEvent, SweepSpec, SweepSummary } from '../protocol/patching.ts';
import type { CorruptionName } from '../protocol/session.ts';
import { runsOf } from './pair.ts';
import type { Session } from './session.ts';
import type { TaskContext } from './tasks.ts';

/**
 * How many steps the maps are filled in. Every walk computes both runs and the controls again; on the test machine's software
 * adapter eight walks still take as long as one (320 cells of blip-shapes: 2.2 s), and the first ends after 0.6 s.
 */
const STEPS = 8;

/** @throws NoticeError as `sweep` */
export async function sweepMaps(
  session: Session,
  { corruptions, sites }: SweepSpec,
  { signal, emit }: TaskContext<SweepEvent>,
): Promise<SweepSummary> {
  const started = performance.now();
  const { model } = session.opened;
  const jobs = corruptions.map((name): SweepJob => ({ ...runsOf(session.pair, name), sites }));
  const prepared = jobs.map((job, pair) => prepareJob(model, job, pair));
  const cells = prepared.reduce((sum, job) => sum + job.cells.length, 0);
  emit({ kind: 'begin', sites: prepared[0]?.layouts ?? [], cells });
  const results = await sweep(model, jobs, {
    cellsPerWalk: Math.ceil(cells / STEPS),
    // The cells that are repeated take whole forward passes each; the other controls are made.
    repeat: 0,
    signal,
    onCells(pair, measured) {
      const corruption = corruptions[pair] as CorruptionName;
      for (const event of eventsOf(measured)) emit({ ...event, corruption });
    },
  });
  return {
    noiseFloor: Math.max(0, ...results.map(({ controls }) => controls?.noiseFloor ?? 0)),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Cells of each site together. */
function eventsOf(cells: readonly MeasuredCell[]) {
  return [...new Set(cells.map(({ site }) => site))].map((site) => {
    const own = cells.filter((cell) => cell.site === site);
    const numbers = new Float32Array(METRICS.length * own.length);
    own.forEach((cell, i) => {
      numbers.set(cell.numbers, METRICS.length * i);
    });
    return { kind: 'cells', site, indices: Uint32Array.from(own, ({ index }) => index), numbers } as const;
  });
}
