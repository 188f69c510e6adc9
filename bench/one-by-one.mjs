// One patch in forward passes of its own. With image features that are shared: what is left of "one by one" when the part that
// no patch can change is taken out.
import { logSumExp, restoration } from '../dist/kernels/index.js';
import { ModelRun } from '../dist/models/index.js';
import { EditSet } from '../dist/patching/edits.js';
import { replace } from '../dist/patching/index.js';
import { PatchProbe } from '../dist/patching/probe.js';

/** Image features of a job, computed when this returns, to be given back with `gpu.release(...features.tensors)`. */
export async function sharedFeatures(model, { clean, corrupt }) {
  return model.gpu.work(async (w) => {
    const features = await model.encodeImages(w, [...new Set([...clean.images, ...corrupt.images])]);
    w.keep(...features.tensors);
    await w.finish();
    return features;
  });
}

/**
 * Clean, corrupt and patched run, each whole but for `features`, which are computed anew if absent.
 *
 * @param {{ site: string, layer: number, position: number, head?: number }} cell
 * @returns the cell's four numbers
 */
export function oneCell(model, { clean, corrupt, correct, incorrect }, cell, features) {
  const runs = [clean, corrupt, corrupt].map((sample) => new ModelRun(sample));
  const [cleanRun, , patched] = runs;
  const hook = cell.site.replace('.', `.blocks.${cell.layer}.`);
  const heads = cell.head === undefined ? {} : { heads: [cell.head] };
  return model.gpu.work(async (w) => {
    const edits = new EditSet(w, runs, [
      replace({ hook, run: patched, positions: [cell.position], ...heads }, { run: cleanRun }),
    ]);
    const logits = await model.forward(w, runs, { probe: new PatchProbe(w, { edits, runs }), features });
    const scores = logSumExp(
      w,
      logits.tensor,
      runs.map(() => [correct, incorrect]),
      runs.map((run) => logits.rowOf(run)),
    );
    const effects = restoration(w, scores, [{ patched: 2, corrupt: 1, clean: 0 }]);
    const [numbers] = await w.read(effects);
    await edits.verify();
    return numbers;
  });
}
