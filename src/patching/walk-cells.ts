// Some cells in one walk.

import { NoticeError } from '../errors.ts';
import type { Tensor, Work } from '../gpu/index.ts';
import { gatherRows, logSumExp, metricValues, restoration } from '../kernels/index.ts';
import type { ImageFeatures, Logits, ModelRun, Probe, VisionLanguageModel } from '../models/index.ts';
import { Batch, type SweepMode } from './batch.ts';
import type { Cell, SweepJob } from './cells.ts';
import { type Edited, isPatch, type Measured, nameOf } from './changes.ts';
import { type Check, type Checked, type Controls, checkControls, controlRuns } from './controls.ts';
import { EditSet } from './edits.ts';
import { type PatchSource, replace } from './intervention.ts';
import { PatchProbe } from './probe.ts';
import { valuesAhead } from './values-ahead.ts';

/** What the runs answer that patches are compared with. */
export interface Baseline {
  readonly pClean: number;
  readonly pCorrupt: number;
  readonly ldClean: number;
  readonly ldCorrupt: number;
  /** Of the job's metric, where it has one. */
  readonly metric?: { readonly clean: number; readonly corrupt: number };
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
  /** Told how many rows the residual stream has at the end of every block. */
  readonly onRows?: ((hook: string, rows: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What a walk gives: the numbers of each cell, four or the two of a metric, and what the pairs' own runs give. */
export interface WalkResult {
  readonly cells: readonly Float32Array[];
  /** How many elements the interventions on each cell's run write, or edges they cut. */
  readonly counts: readonly number[];
  readonly bases: ReadonlyMap<number, BaseNumbers>;
}

/** Some cells on their way through a model: all is recorded, nothing has been read. */
export class CellWalk {
  readonly #w: Work;
  readonly #cells: readonly (Cell | Edited)[];
  readonly #measured: readonly Measured[];
  readonly #bases: ReadonlyMap<number, Bases>;
  readonly #checks: readonly Check[];
  readonly #edits: EditSet;
  /** Row of each pair's clean run in the scores; the corrupt run's follows. */
  readonly #baseRow: ReadonlyMap<number, number>;
  readonly #effects: Tensor;
  readonly #scores: Tensor;
  /** Values of the jobs' metrics, and whose they are by their row in the scores. */
  readonly #metric: Tensor | undefined;
  readonly #metricRows: readonly number[];
  /** Logits that leave the GPU, and whose they are. */
  readonly #logits: Tensor;
  readonly #logitRows: ReadonlyMap<ModelRun, number>;

  /** Records a walk over cells. */
  static async record(
    w: Work,
    model: VisionLanguageModel,
    jobs: readonly SweepJob[],
    cells: readonly (Cell | Edited)[],
    { mode, features, controls, onRows }: WalkOptions,
  ): Promise<CellWalk> {
    const batch = new Batch(model, jobs, mode);
    const bases = new Map(cells.map(({ pair }) => [pair, batch.bases(pair)]));
    const sourceOf = await valuesAhead(w, model, jobs, cells.filter(isPatch), features);
    const patched = cells.map((cell) =>
      isPatch(cell) ? patchedRun(batch, cell, sourceOf(cell)) : { pair: cell.pair, ...cell.measured(batch) },
    );
    const checks = controls && mode === 'wavefront' ? controlRuns(model, jobs, cells, batch) : [];
    const measured = [...patched, ...checks];
    const edits = new EditSet(w, batch.runs, [
      ...batch.corruptions,
      ...measured.flatMap((run) => run.interventions),
    ]);
    const probe: Probe = new PatchProbe(w, { edits, runs: batch.runs, frozen: batch.frozen });
    if (onRows) probe.passed = (name, rows) => name.endsWith('.hook_resid_post') && onRows(name, rows);
    const logits = await model.forward(w, batch.runs, { probe, ...(features ? { features } : {}) });
    return new CellWalk(w, jobs, { cells, bases, checks, measured, edits, logits });
  }

  private constructor(
    w: Work,
    jobs: readonly SweepJob[],
    { cells, bases, checks, measured, edits, logits }: Walked,
  ) {
    this.#w = w;
    this.#cells = cells;
    this.#measured = measured;
    this.#bases = bases;
    this.#checks = checks;
    this.#edits = edits;
    this.#baseRow = new Map([...bases.keys()].map((pair, i) => [pair, 2 * i]));
    const seen = [...bases.values()].flatMap(({ clean, corrupt }) => [clean, corrupt]);
    const scored = [
      ...[...bases].flatMap(([pair, { clean, corrupt }]) => [
        { pair, run: clean },
        { pair, run: corrupt },
      ]),
      ...measured,
    ];
    this.#scores = logSumExp(
      w,
      logits.tensor,
      scored.map(({ pair }) => [(jobs[pair] as SweepJob).correct, (jobs[pair] as SweepJob).incorrect]),
      scored.map(({ run }) => logits.rowOf(run)),
    );
    this.#effects = restoration(
      w,
      this.#scores,
      measured.map(({ pair }, i) => {
        const clean = this.#baseRow.get(pair) as number;
        return { patched: 2 * bases.size + i, corrupt: clean + 1, clean };
      }),
    );
    const byMetric = scored.flatMap(({ pair, run }, scores) => {
      const { metric } = jobs[pair] as SweepJob;
      return metric ? [{ logits: logits.rowOf(run), scores, metric }] : [];
    });
    this.#metricRows = byMetric.map(({ scores }) => scores);
    if (byMetric.length > 0) this.#metric = metricValues(w, logits.tensor, this.#scores, byMetric);
    // Logits leave the GPU only where they are compared or reported.
    const owners = [...seen, ...checks.map(({ run }) => run)];
    const rows = [...new Set(owners.map((run) => logits.rowOf(run)))];
    this.#logitRows = new Map(owners.map((run) => [run, rows.indexOf(logits.rowOf(run))]));
    this.#logits = gatherRows(
      w,
      logits.tensor,
      Uint32Array.from(rows),
      w.empty(rows.length, logits.tensor.columns, 'logits to read'),
    );
  }

  /**
   * Computes and reads.
   *
   * @throws NoticeError('unfired'), NoticeError('control'), NoticeError('not-finite')
   */
  async read(): Promise<WalkResult> {
    const tensors = [this.#effects, this.#scores, this.#logits, ...(this.#metric ? [this.#metric] : [])];
    const [effects, scores, logits, metric] = (await this.#w.read(...tensors)) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array | undefined,
    ];
    // Windows of blocks and heads are walked in parts: whether any of them has edges to cut is for who knows all to say.
    await this.#edits.verify({ edgesNeeded: this.#cells.every(isPatch) });
    const { columns } = this.#logits;
    const logitsOf = (run: ModelRun) => {
      const row = this.#logitRows.get(run) as number;
      return logits.slice(row * columns, (row + 1) * columns);
    };
    const values = new Map(this.#metricRows.map((row, i) => [row, metric?.[i] as number]));
    /** Of measured run `i`: the four numbers, and those of its job's metric. */
    const numbersOf = (i: number, pair: number) => ({
      four: effects.slice(4 * i, 4 * i + 4),
      two: metricNumbers(
        values.get(2 * this.#bases.size + i),
        values.get((this.#baseRow.get(pair) as number) + 1),
      ),
    });
    const bases = new Map<number, BaseNumbers>();
    for (const [pair, { clean, corrupt }] of this.#bases) {
      const found = { clean: logitsOf(clean), corrupt: logitsOf(corrupt) };
      const baseline = baselineOf(scores, values, this.#baseRow.get(pair) as number);
      checkFiniteRuns(pair, found, baseline);
      const controls = this.#checks.flatMap((check, i): Checked[] => {
        if (check.pair !== pair) return [];
        const { four, two } = numbersOf(this.#cells.length + i, pair);
        return [{ ...check, effect: four, metricEffect: two?.[1], logits: logitsOf(check.run) }];
      });
      bases.set(pair, {
        baseline,
        logits: found,
        controls: controls.length > 0 ? checkControls(controls, found.clean) : undefined,
      });
    }
    const cells = this.#cells.map((cell, i) => {
      const { four, two } = numbersOf(i, cell.pair);
      // The fourth number, a ratio, may be undefined.
      if (![...four.subarray(0, 3), ...(two ?? [])].every(Number.isFinite))
        throw new NoticeError(
          'not-finite',
          `pair ${cell.pair}: with ${nameOf(cell)} at ${cell.hook} the run's logits${two ? ', or its metric,' : ''} are not finite`,
        );
      return two ?? four;
    });
    const counts = this.#measured.map(({ run }) => this.#edits.countOf(run));
    return { cells, counts, bases };
  }
}

/** m' and m' − m* in f32, of the patched and the corrupt run's values of a metric. */
function metricNumbers(patched: number | undefined, corrupt: number | undefined): Float32Array | undefined {
  if (patched === undefined || corrupt === undefined) return undefined;
  return Float32Array.of(patched, patched - corrupt);
}

/** @throws NoticeError('not-finite') */
function checkFiniteRuns(pair: number, logits: BaseNumbers['logits'], { metric }: Baseline): void {
  for (const run of ['clean', 'corrupt'] as const) {
    if (!logits[run].every(Number.isFinite))
      throw new NoticeError('not-finite', `pair ${pair}: the logits of the ${run} run are not finite`);
    if (metric && !Number.isFinite(metric[run]))
      throw new NoticeError('not-finite', `pair ${pair}: the metric of the ${run} run is ${metric[run]}`);
  }
}

interface Bases {
  readonly clean: ModelRun;
  readonly corrupt: ModelRun;
}

/** What a model's forward pass over the runs of some cells left. */
interface Walked {
  readonly cells: readonly (Cell | Edited)[];
  readonly bases: ReadonlyMap<number, Bases>;
  readonly checks: readonly Check[];
  /** The cells' runs, then those of the checks. */
  readonly measured: readonly Measured[];
  readonly edits: EditSet;
  readonly logits: Logits;
}

/** The run of a cell. The value comes from the clean run at the same place, unless another source is given. */
function patchedRun(batch: Batch, cell: Cell, source: PatchSource | undefined): Measured {
  const { pair, tower, hook, head, positions } = cell;
  const run = batch.derive(pair, tower);
  const target = { hook, run, positions, ...(head === undefined ? {} : { heads: [head] }) };
  return { pair, run, interventions: [replace(target, source ?? { run: batch.bases(pair).clean })] };
}

/** Computes cells in a work of their own. */
export function walkCells(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly (Cell | Edited)[],
  options: WalkOptions,
): Promise<WalkResult> {
  return model.gpu.work(async (w) => (await CellWalk.record(w, model, jobs, cells, options)).read(), options);
}

/**
 * Of the clean run, which has row `row` of the scores, and of the corrupt run behind it.
 *
 * @param values of metrics, by row of the scores
 */
function baselineOf(scores: Float32Array, values: ReadonlyMap<number, number>, row: number): Baseline {
  const [pClean, ldClean] = scoreOf(scores, row);
  const [pCorrupt, ldCorrupt] = scoreOf(scores, row + 1);
  const [clean, corrupt] = [values.get(row), values.get(row + 1)];
  const metric = clean === undefined || corrupt === undefined ? {} : { metric: { clean, corrupt } };
  return { pClean, pCorrupt, ldClean, ldCorrupt, ...metric };
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
