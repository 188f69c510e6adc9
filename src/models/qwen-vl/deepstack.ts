// DeepStack: what lower blocks of the vision tower see of an image is added to the features behind the first blocks of the
// language model.

import type { Work } from '../../gpu/index.ts';
import { addRows } from '../../kernels/index.ts';
import type { ModelRun } from '../model.ts';
import { sequenceIn } from '../sequences.ts';
import { appendToFrame, type Frame, type Sequence } from '../tower/index.ts';
import type { Features } from './image-encoder.ts';

/**
 * What `Walk.behind` does to the prompts' stream. A run whose features differ from its base's gets rows for them here.
 *
 * @param release whether nobody reads the features afterwards
 * @param stacked by the block behind which they are added; the runs' features, in the order of their image tokens
 */
export function addFeatures(
  w: Work,
  runs: readonly ModelRun[],
  stacked: readonly Features[],
  imageToken: number,
  release: boolean,
): (layer: number, stream: Frame<'x'>) => void {
  return (layer, stream) => {
    const features = stacked[layer];
    if (!features) return;
    const { rows } = stream.x;
    const copied: number[] = [];
    const pairs: number[] = [];
    for (const run of runs) {
      const own = features.runs.get(run) as Sequence;
      const language = sequenceIn(run, 'language');
      const shared = run.base !== undefined && features.runs.get(run.base) === own;
      let feature = 0;
      run.sample.ids.forEach((id, p) => {
        if (id !== imageToken) return;
        const at = feature++;
        if (!language.owns(p)) {
          if (shared || !own.owns(at)) return;
          // The base's row, before anything is added to it.
          const source = language.row(p);
          copied.push(source < rows ? source : (copied[source - rows] as number));
          language.rows[p] = rows + copied.length - 1;
        }
        pairs.push(language.rows[p] as number, own.row(at));
      });
    }
    appendToFrame(w, stream, Uint32Array.from(copied));
    addRows(w, stream.x, features.tensor, Uint32Array.from(pairs));
    if (release) w.release(features.tensor);
  };
}
