// Interventions become edits in the recorded GPU work; counters on the GPU tell whether every one of them happened.

import { NoticeError } from '../errors.ts';
import type { Work } from '../gpu/index.ts';
import {
  type Activation,
  type Fork,
  type ModelRun,
  type Probe,
  type Sequence,
  sequenceIn,
} from '../models/index.ts';
import { positionsOf, spansOf } from './columns.ts';
import { type AnswerStart, CutSet } from './cut-set.ts';
import type { Intervention, RunIntervention } from './intervention.ts';
import { positionsAt, towerOf } from './names.ts';
import { PendingEdits, type SourcedEdit } from './pending-edits.ts';
import { sourceOf } from './sources.ts';

export class EditSet {
  readonly #w: Work;
  /** The batch, for interventions that name a run by its row. */
  readonly #runs: readonly ModelRun[];
  readonly #rows: ReadonlyMap<ModelRun, number>;
  /** Runs derived from a run, directly or not. */
  readonly #derived = new Map<ModelRun, ModelRun[]>();
  readonly #byHook = new Map<string, { intervention: RunIntervention; counter: number }[]>();
  /** Interventions that the tower carries out itself. */
  readonly #cuts: CutSet;
  readonly #expected: number[];
  readonly #list: readonly RunIntervention[];
  #fired: GPUBuffer | undefined;

  /** @param answerStart of runs whose answer is given */
  constructor(
    w: Work,
    runs: readonly ModelRun[],
    interventions: readonly RunIntervention[],
    answerStart?: AnswerStart,
  ) {
    this.#w = w;
    this.#runs = runs;
    this.#rows = new Map(runs.map((run, row) => [run, row]));
    this.#list = interventions;
    this.#expected = interventions.map(() => 0);
    this.#cuts = new CutSet({
      targets: (intervention) => this.#targets(intervention),
      derivedFrom: (run) => this.#derivedFrom(run),
      answerStart,
    });
    interventions.forEach((intervention, counter) => {
      checkAlpha(intervention);
      if (intervention.op === 'cut') {
        this.#cuts.add(intervention, counter);
        return;
      }
      const list = this.#byHook.get(intervention.hook) ?? [];
      list.push({ intervention, counter });
      this.#byHook.set(intervention.hook, list);
    });
    for (const run of runs) {
      for (let { base } = run; base; base = base.base) {
        const list = this.#derived.get(base) ?? [];
        list.push(run);
        this.#derived.set(base, list);
      }
    }
  }

  wants(hook: string): boolean {
    return this.#byHook.has(hook);
  }

  /** Positions at which runs depart from their base at a hook point. */
  forks(hook: string): Fork[] {
    const edited = (this.#byHook.get(hook) ?? []).flatMap(({ intervention }) =>
      this.#targets(intervention).map((modelRun) => {
        const run = sequenceIn(modelRun, towerOf(hook));
        return { run, positions: this.#written(intervention, run) };
      }),
    );
    return [...edited, ...this.#cuts.forks(hook)];
  }

  /** What is cut in the attention whose scores have this name; see `Probe.cuts`. */
  cuts(hook: string): ReturnType<NonNullable<Probe['cuts']>> {
    if (!this.#cuts.has(hook)) return undefined;
    const expect = (counter: number, edges: number) => {
      this.#expected[counter] = (this.#expected[counter] as number) + edges;
    };
    return {
      silent: this.#cuts.silent(hook),
      read: () => this.#cuts.read(hook, this.#counters(), expect),
    };
  }

  /**
   * Makes all edits of a hook point in the order of their interventions. What changes a run changes the runs derived
   * from it too, wherever they have rows of their own.
   */
  apply(activation: Activation): void {
    const pending = new PendingEdits(this.#w, activation.tensor, this.#counters());
    const tower = towerOf(activation.name);
    for (const { intervention, counter } of this.#byHook.get(activation.name) ?? []) {
      const { hook, alpha = 1 } = intervention;
      const op = intervention.op as Exclude<Intervention['op'], 'cut'>;
      // A mean is taken of what the interventions before have left.
      if (op === 'mean') pending.flush();
      const source = sourceOf(this.#w, activation, intervention, this.#runs, (run) => this.#runOf(run, hook));
      const edits: SourcedEdit[] = [];
      const rows = new Set<number>();
      const targets = this.#targets(intervention).flatMap((target) =>
        [target, ...this.#derivedFrom(target)].map((run) => ({ target, run: sequenceIn(run, tower) })),
      );
      for (const { target, run } of targets) {
        // In generation only the new position is there; a derived run may have no row of its own.
        const places = this.#written(intervention, run)
          .map((position, i) => ({ position, i, row: activation.rowOf(run, position) }))
          .filter(({ row }) => row >= 0 && !rows.has(row));
        if (places.length === 0) continue;
        const spans = spansOf(activation, run, intervention);
        const { tensor, row: sourceRow, column } = source(run, spans, this.#rows.get(target) as number);
        for (const { position, i, row } of places) {
          rows.add(row);
          for (const span of spans) {
            this.#expected[counter] = (this.#expected[counter] as number) + span.count;
            edits.push({
              row,
              firstColumn: span.first,
              columns: span.count,
              source: sourceRow(position, i),
              alpha,
              counter,
              tensor,
              column: column(span),
            });
          }
        }
      }
      pending.add(op === 'mean' ? 'replace' : op, edits);
    }
    pending.flush();
  }

  /** How many elements are written, and edges cut, by the interventions that name a run. */
  countOf(run: ModelRun): number {
    return this.#list.reduce(
      (sum, one, i) => (one.run === run ? sum + (this.#expected[i] as number) : sum),
      0,
    );
  }

  /**
   * Checks that every intervention wrote exactly as many elements as it addressed.
   *
   * @param edgesNeeded whether some cut must have found an edge, if there are any
   * @throws NoticeError('unfired')
   */
  async verify({ edgesNeeded = true }: { readonly edgesNeeded?: boolean } = {}): Promise<void> {
    if (this.#list.length === 0) return;
    const [words] = await this.#w.read({
      buffer: this.#counters(),
      rows: 1,
      columns: this.#list.length,
      stride: this.#list.length,
      offset: 0,
    });
    const fired = new Uint32Array((words as Float32Array<ArrayBuffer>).buffer);
    // In layers with windows a cut may have nothing to cut; if none has, the wrong edges are named.
    const someCut =
      !edgesNeeded || this.#list.some(({ op }, i) => op === 'cut' && (this.#expected[i] as number) > 0);
    this.#list.forEach(({ hook, op, positions, whereOwnOf }, i) => {
      const expected = this.#expected[i] as number;
      const mayBeNone = op === 'cut' ? someCut : whereOwnOf !== undefined;
      if (fired[i] === expected && (expected > 0 || mayBeNone)) return;
      const where = positions ? ` at position ${positions.join(', ')}` : '';
      throw new NoticeError(
        'unfired',
        expected === 0 && op === 'cut'
          ? `the cut at ${hook}${where} found no edge: its queries see none of its keys, or the run did not come there`
          : expected === 0
            ? `the intervention "${op}" on ${hook}${where} never fired: the run did not come to this hook point`
            : `the intervention "${op}" on ${hook}${where} wrote ${fired[i]} elements instead of ${expected}`,
      );
    });
  }

  /** Positions of a run that an intervention writes. */
  #written(intervention: RunIntervention, run: Sequence): readonly number[] {
    const { hook, whereOwnOf } = intervention;
    const positions = positionsOf(intervention, run);
    if (!whereOwnOf) return positions;
    const source = positionsAt(hook, sequenceIn(whereOwnOf, towerOf(hook)));
    return positions.filter((position) => source.owns(position));
  }

  #counters(): GPUBuffer {
    if (!this.#fired)
      this.#fired = this.#w.uploadWords(new Uint32Array(Math.max(1, this.#list.length)), 'fired counters');
    return this.#fired;
  }

  #targets({ run, hook }: Intervention): readonly ModelRun[] {
    return run === undefined ? this.#runs : [this.#runOf(run, hook)];
  }

  #derivedFrom(run: ModelRun): readonly ModelRun[] {
    return this.#derived.get(run) ?? [];
  }

  #runOf(run: ModelRun | number, hook: string): ModelRun {
    if (typeof run !== 'number') return run;
    const found = this.#runs[run];
    if (!found)
      throw new NoticeError('hook', `${hook}: batch row ${run} of ${this.#runs.length} does not exist`);
    return found;
  }
}

function checkAlpha({ op, hook, alpha }: Intervention): void {
  const needed = op === 'scale' || op === 'interpolate';
  if (alpha === undefined ? needed : !Number.isFinite(alpha))
    throw new NoticeError('hook', `the intervention "${op}" on ${hook} needs a finite alpha, found ${alpha}`);
}
