import { ModelRun } from '../dist/models/index.js';
import { PatchProbe, StopWalk } from '../dist/patching/probe.js';

/** What a forward pass of one sample costs, up to a hook point or to its end. */
export function estimateForward(model, sample, stopAfter) {
  const { gpu } = model;
  const runs = [new ModelRun(sample)];
  return gpu.estimate(async () => {
    try {
      await model.forward(runs, { probe: new PatchProbe(gpu, { runs, stopAfter }) });
    } catch (error) {
      if (!(error instanceof StopWalk)) throw error;
    }
  });
}
