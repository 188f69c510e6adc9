// Frozen runs: their attention and MLPs give what those of their base give, so that of a change only what the residual stream itself
// carries on arrives further up (path patching).

import type { Tensor } from '../../gpu/index.ts';
import { intervene } from '../../kernels/index.ts';
import type { Walk } from './walk.ts';

/**
 * Gives frozen runs what their bases have, in what a sublayer makes before its output projection.
 *
 * @param inner z or the MLP's hidden values [rows of the stream, …]
 */
export function freezeRows(walk: Walk, tower: string, sublayer: 'attention' | 'mlp', inner: Tensor): void {
  const { w, probe } = walk;
  const edits = [...(probe.frozen?.(tower) ?? [])].flatMap(([run, what]) => {
    const { base } = run;
    if (!base || (what === 'attention' && sublayer === 'mlp')) return [];
    return run.ownPositions.map((position) => ({
      ...{ row: run.row(position), source: base.row(position) },
      ...{ firstColumn: 0, columns: inner.columns, alpha: 1, counter: 0 },
    }));
  });
  if (edits.length === 0) return;
  const counter = w.uploadWords(new Uint32Array(1), 'rows of frozen runs');
  intervene(w, inner, 'replace', edits, counter);
  w.release(counter);
}
