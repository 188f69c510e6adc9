// Patches of a pair's corrupt run, several at once, answered without computing again what they leave as it was: clean, corrupt
// and patched run go up together, and the patched run has rows only where it differs.

import { checkFields, checkSignal } from '../check.ts';
import { NoticeError } from '../errors.ts';
import type { ImageFeatures, ModelRun, VisionLanguageModel } from '../models/index.ts';
import { Batch } from './batch.ts';
import { measuredJobs, type PatchPairInput, type SweepJob } from './cells.ts';
import { EditSet } from './edits.ts';
import { checkIntervention, type Intervention } from './intervention.ts';
import { hookPoint, towerOf } from './names.ts';
import { PatchProbe } from './probe.ts';

export interface PatchPairOptions {
  /** Features of the pair's image objects (`keepFeatures`); used where no intervention looks into the towers that make them. */
  readonly features?: ImageFeatures | undefined;
  /** Ends it at the next wait; its reason is thrown. */
  readonly signal?: AbortSignal | undefined;
}

/** Logits [vocabulary] of the answer's first position. */
export interface PairLogits {
  readonly clean: Float32Array;
  readonly corrupt: Float32Array;
  readonly patched: Float32Array;
}

/**
 * The corrupt run with some interventions, all at work together.
 *
 * @param interventions as for `runWithHooks(model, [clean, corrupt], …)`, with the same bits as result: row 0 of the batch is the
 *   clean run, row 1 the corrupt one. All change row 1; row 0 is there to be read
 * @throws NoticeError('usage') for an intervention on another row than 1, ('unfired') if one did not happen exactly as asked,
 *   ('hook') if one does not fit the model, ('text') if clean and corrupt prompt have different lengths
 */
export async function patchPair(
  model: VisionLanguageModel,
  given: PatchPairInput,
  interventions: readonly Intervention[],
  options: PatchPairOptions = {},
): Promise<PairLogits> {
  checkFields(options, 'the options', ['features', 'signal']);
  checkSignal(options.signal);
  const [pair] = measuredJobs([{ ...given, sites: [] }], undefined) as [SweepJob];
  if (pair.clean.ids.length !== pair.corrupt.ids.length)
    throw new NoticeError(
      'text',
      `the clean prompt has ${pair.clean.ids.length} tokens, the corrupt one ${pair.corrupt.ids.length}; ` +
        'patching goes position by position',
    );
  const patches = interventions.map((intervention) => {
    checkIntervention(intervention);
    if (intervention.run !== 1)
      throw new NoticeError(
        'usage',
        `${intervention.hook}: run is ${intervention.run}, expected 1: only the corrupt run is patched`,
      );
    return { ...intervention, hook: hookPoint(model, intervention.hook) };
  });
  return model.gpu.work(async (w) => {
    const batch = new Batch(model, [pair], 'wavefront');
    const { clean, corrupt } = batch.bases(0);
    const patched = batch.derive(0, ...patches.map(({ hook }) => towerOf(hook)));
    // Rows of the batch as the interventions count them. Whatever they say of row 1 is done to the run derived from it.
    const rows = [clean, patched];
    const edits = new EditSet(w, rows, [...batch.corruptions, ...patches]);
    const probe = new PatchProbe(w, { edits, runs: rows });
    const { tensor, rowOf } = await model.forward(w, batch.runs, { probe, features: options.features });
    const [values = new Float32Array()] = await w.read(tensor);
    await edits.verify();
    const logitsOf = (run: ModelRun) =>
      values.slice(rowOf(run) * tensor.columns, (rowOf(run) + 1) * tensor.columns);
    return { clean: logitsOf(clean), corrupt: logitsOf(corrupt), patched: logitsOf(patched) };
  }, options);
}
