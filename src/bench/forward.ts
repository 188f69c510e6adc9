// Forward passes, from pixels and token ids in host memory to the result there.

import type { WorkEstimate } from '../gpu/index.ts';
import { ModelRun, type Sample, type VisionLanguageModel } from '../models/index.ts';
import { runWithCache, runWithHooks } from '../patching/index.ts';
import { PatchProbe, StopWalk } from '../patching/probe.ts';
import { alternate, type MeasureOptions, median, type Times } from './measure.ts';

export interface ForwardResult {
  readonly name: string;
  readonly ms: number;
  readonly cpuMs?: number;
  /** Operations per second. */
  readonly flops: number;
  readonly dispatches: number;
}

/** What a forward pass of one sample costs, up to a hook point or to its end. */
export function estimateForward(
  model: VisionLanguageModel,
  sample: Sample,
  stopAfter?: string,
): Promise<WorkEstimate> {
  const runs = [new ModelRun(sample)];
  return model.gpu.count(async (w) => {
    try {
      await model.forward(w, runs, { probe: new PatchProbe(w, { runs, stopAfter }) });
    } catch (error) {
      if (!(error instanceof StopWalk)) throw error;
    }
  });
}

/** Runs the model up to a hook point and reads its value [position, …], or to its end and reads the logits. */
export async function forwardTo(
  model: VisionLanguageModel,
  sample: Sample,
  stopAfter?: string,
): Promise<Float32Array> {
  if (stopAfter === undefined) return (await runWithHooks(model, [sample], {}))[0] as Float32Array;
  const { cache } = await runWithCache(model, [sample], { names: [stopAfter], stopAfter });
  try {
    return await cache.read(stopAfter);
  } finally {
    cache.release();
  }
}

/**
 * Times a forward pass.
 *
 * @param stopAfter the hook point it ends at; default the logits
 */
export async function measureForward(
  model: VisionLanguageModel,
  sample: Sample,
  { name, stopAfter, ...options }: MeasureOptions & { readonly name: string; readonly stopAfter?: string },
): Promise<ForwardResult> {
  const { flops, dispatches } = await estimateForward(model, sample, stopAfter);
  const contender = { name, run: () => forwardTo(model, sample, stopAfter) };
  const { wall, cpu } = (await alternate([contender], options)).get(name) as Times;
  const ms = median(wall);
  return {
    name,
    ms,
    ...(cpu.length > 0 && { cpuMs: median(cpu) }),
    flops: (1000 * flops) / ms,
    dispatches,
  };
}

/** A line of the bench's table. */
export function forwardLine({ name, ms, flops, dispatches }: ForwardResult): string {
  return `${name}: ${(ms / 1000).toFixed(2)} s, ${(flops / 1e9).toPrecision(3)} GFLOP/s, ${dispatches} dispatches`;
}
