import { ModelRun } from '../dist/models/index.js';
import { PatchProbe, StopWalk } from '../dist/patching/probe.js';

/** What a forward pass of one sample costs, up to a hook point or to its end. */
export function estimateForward(model, sample, stopAfter) {
  const runs = [new ModelRun(sample)];
  return model.gpu.count(async (w) => {
    try {
      await model.forward(w, runs, { probe: new PatchProbe(w, { runs, stopAfter }) });
    } catch (error) {
      if (!(error instanceof StopWalk)) throw error;
    }
  });
}
