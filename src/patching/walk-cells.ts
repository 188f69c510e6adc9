// Some cells in one walk.

import { NoticeError } from '../errors.ts';
import { gatherRows, logSumExp, restoration } from '../kernels/index.ts';
import type { ImageFeatures, ModelRun, Probe, VisionLanguageModel } from '../models/index.ts';
import { Batch, type SweepMode } from './batch.ts';
import type { Cell, SweepJob } from './cells.ts';
import { type Controls, checkControls, controlRuns } from './controls.ts';
import { EditSet } from './edits.ts';
import { type Intervention, type PatchSource, replace } from './intervention.ts';
import { towerOf } from './names.ts';
import { PatchProbe } from './probe.ts';

/** What the runs answer that patches are compared with. */
export interface Baseline {
  readonly pClean: number;
  readonly pCorrupt: number;
  readonly ldClean: number;
  readonly ldCorrupt: number;
}

/** What a walk gives besides its cells, per pair. */
export interface BaseNumbers {
  readonly baseline: Baseline;
  /** [vocabulary] */
  readonly logits: { readonly clean: Float32Array; readonly corrupt: Float32Array };
  readonly controls: Controls | undefined;
}

export interface WalkOptions {
  readonly mode: SweepMode;
  readonly controls: boolean;
  readonly features?: ImageFeatures | undefined;
  /** Where a cell's value comes from; default the clean run at the same place. */
  readonly sourceOf?: ((cell: Cell) => PatchSource | undefined) | undefined;
  /** Nothing is computed, so nothing can be checked. */
  readonly estimate?: boolean;
  /** Told how many rows the residual stream has at the end of every block. */
  readonly onRows?: ((hook: string, rows: number) => void) | undefined;
}

/**
 * Computes cells.
 *
 * @returns four numbers per cell, and what the pairs' own runs give
 */
export async function walkCells(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly Cell[],
  { mode, features, controls, sourceOf, estimate = false, onRows }: WalkOptions,
): Promise<{ cells: Float32Array; bases: Map<number, BaseNumbers> }> {
  const { gpu } = model;
  const batch = new Batch(jobs, mode);
  const pairs = [...new Set(cells.map(({ pair }) => pair))];
  const bases = new Map(pairs.map((pair) => [pair, batch.bases(pair)]));
  const patched = cells.map((cell) => {
    const { pair, tower, hook, head, positions } = cell;
    const run = batch.derive(pair, tower);
    const target = { hook, run, positions, ...(head === undefined ? {} : { heads: [head] }) };
    return {
      pair,
      run,
      interventions: [replace(target, sourceOf?.(cell) ?? { run: batch.bases(pair).clean })],
    };
  });
  const checks = controls && mode === 'wavefront' ? controlRuns(model, jobs, cells, batch) : [];
  const measured = [...patched, ...checks];
  const interventions: Intervention[] = [
    ...batch.corruptions,
    ...measured.flatMap((run) => run.interventions),
  ];
  const walk = async () => {
    const edits = new EditSet(gpu, batch.runs, interventions);
    const patches = new PatchProbe(gpu, { edits, runs: batch.runs });
    // To look into the vision tower would make it be walked.
    const unseen = features && !batch.runs.some((run) => run.departsIn.has('vision')) ? 'vision' : undefined;
    const probe = onRows ? countingRows(patches, onRows, unseen) : patches;
    const logits = await model.forward(batch.runs, { probe, ...(features ? { features } : {}) });
    const scored: { pair: number; run: ModelRun }[] = [
      ...[...bases].flatMap(([pair, { clean, corrupt }]) => [
        { pair, run: clean },
        { pair, run: corrupt },
      ]),
      ...measured,
    ];
    const scores = logSumExp(
      gpu,
      logits.tensor,
      scored.map(({ pair }) => [(jobs[pair] as SweepJob).correct, (jobs[pair] as SweepJob).incorrect]),
      scored.map(({ run }) => logits.rowOf(run)),
    );
    const baseRow = new Map(pairs.map((pair, i) => [pair, 2 * i]));
    const effects = restoration(
      gpu,
      scores,
      measured.map(({ pair }, i) => {
        const clean = baseRow.get(pair) as number;
        return { patched: 2 * pairs.length + i, corrupt: clean + 1, clean };
      }),
    );
    // Logits leave the GPU only where they are compared or reported.
    const seen = [...bases.values()].flatMap(({ clean, corrupt }) => [clean, corrupt]);
    const rows = [...new Set([...seen, ...checks.map(({ run }) => run)].map((run) => logits.rowOf(run)))];
    const { columns } = logits.tensor;
    const some = gatherRows(
      gpu,
      logits.tensor,
      Uint32Array.from(rows),
      gpu.empty(rows.length, columns, 'logits to read'),
    );
    const [values, scoreValues, someLogits] = await gpu.read(effects, scores, some);
    if (!estimate) await edits.verify();
    const logitsOf = (run: ModelRun) => {
      const first = rows.indexOf(logits.rowOf(run)) * columns;
      return (someLogits as Float32Array).slice(first, first + columns);
    };
    const numbers = values as Float32Array;
    const checked = checks.map((check, i) => ({
      ...check,
      effect: numbers.subarray(4 * (cells.length + i), 4 * (cells.length + i + 1)),
      logits: logitsOf(check.run),
    }));
    const found = new Map<number, BaseNumbers>();
    for (const [pair, { clean, corrupt }] of bases) {
      const [pClean, ldClean] = scoreOf(scoreValues as Float32Array, baseRow.get(pair) as number);
      const [pCorrupt, ldCorrupt] = scoreOf(scoreValues as Float32Array, (baseRow.get(pair) as number) + 1);
      const own = checked.filter((check) => check.pair === pair);
      const [cleanLogits, corruptLogits] = [logitsOf(clean), logitsOf(corrupt)];
      for (const [name, values] of [
        ['clean', cleanLogits],
        ['corrupt', corruptLogits],
      ] as const)
        if (!values.every(Number.isFinite))
          throw new NoticeError('not-finite', `pair ${pair}: the logits of the ${name} run are not finite`);
      found.set(pair, {
        baseline: { pClean, pCorrupt, ldClean, ldCorrupt },
        logits: { clean: cleanLogits, corrupt: corruptLogits },
        controls: own.length > 0 ? checkControls(own, cleanLogits) : undefined,
      });
    }
    return { cells: numbers.slice(0, 4 * cells.length), bases: found };
  };
  return estimate ? walk() : gpu.scope(walk);
}

/** Probability of the correct answer and logit difference. */
function scoreOf(scores: Float32Array, row: number): [p: number, logitDifference: number] {
  const [lse, correct, incorrect] = scores.subarray(3 * row, 3 * row + 3) as unknown as [
    number,
    number,
    number,
  ];
  return [Math.exp(correct - lse), Math.fround(correct - incorrect)];
}

/** Also looks at the end of every block, but for those of one tower. */
function countingRows(
  probe: Probe,
  onRows: (hook: string, rows: number) => void,
  unseen: string | undefined,
): Probe {
  const counts = (name: string) => name.endsWith('.hook_resid_post') && towerOf(name) !== unseen;
  return {
    wants: (name) => counts(name) || probe.wants(name),
    forks: (name) => probe.forks(name),
    visit: async (activation) => {
      if (probe.wants(activation.name)) await probe.visit(activation);
      if (counts(activation.name)) onRows(activation.name, activation.tensor.rows);
    },
  };
}
