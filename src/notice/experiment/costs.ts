// What parts cost, by the plan of their samples' sweeps: counted, not measured, so that every machine cuts the same shards.

import type { Sample } from '../../models/index.ts';
import { type SweepJob, sweepOperations } from '../../patching/index.ts';
import type { Part, RunContext } from './context.ts';
import { preparePart, sweepsOf } from './part-inputs.ts';

/**
 * Operations of each part's sweeps as if each were alone; the clean run that those of a sample share is little. The attention map of a sample is one pass more beside hundreds of
 * patched ones: it goes with the sweeps and is not counted.
 *
 * @param known those of parts that need not be planned, by name
 */
export async function partOperations(
  run: RunContext,
  parts: readonly Part[],
  known: ReadonlyMap<string, number>,
): Promise<Map<string, number>> {
  const found = new Map(known);
  // Planning a large model's sweep takes seconds, and most samples have sweeps of the same shapes as another one.
  const byShape = new Map<string, number>();
  for (const [done, part] of parts.entries()) {
    run.onProgress('plan', part.task, done, parts.length);
    if (found.has(part.name)) continue;
    let total = 0;
    for (const chosen of part.chosen) {
      run.signal?.throwIfAborted();
      const prepared = await preparePart(run, { chosen: [chosen] });
      for (const { job } of sweepsOf(run, part, prepared)) {
        const shape = JSON.stringify(shapeOf(job));
        const operations = byShape.get(shape) ?? (await sweepOperations(run.model, [job]));
        byShape.set(shape, operations);
        total += operations;
      }
    }
    found.set(part.name, total);
  }
  return found;
}

/** All that decides how many rows a sweep has, and where. */
function shapeOf({ clean, corrupt, noise, sites }: SweepJob): unknown {
  return [
    sites,
    noise !== undefined,
    sampleShape(clean),
    sampleShape(corrupt),
    corrupt.images.map((image, i) => image === clean.images[i]),
    differing(clean.ids, corrupt.ids),
    differing(clean.instruction ?? [], corrupt.instruction ?? []),
  ];
}

const sampleShape = ({ images, ids, instruction, places }: Sample) => [
  images.map(({ data: _, view: __, ...size }) => size),
  ids.length,
  instruction?.length,
  places,
];

const differing = (a: readonly number[], b: readonly number[]): number[] =>
  a.flatMap((id, i) => (id === b[i] ? [] : [i]));
