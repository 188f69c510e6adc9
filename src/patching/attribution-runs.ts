// The runs behind an attribution. A clean run and those corrupt runs that differ in their text go up together and share their
// images; what lies below the text is then not walked back. Runs with other images go by themselves.

import { TapedWork, type Work } from '../gpu/index.ts';
import {
  ModelRun,
  type Sample,
  sameImages,
  type VisionLanguageModel,
  withOwnImages,
} from '../models/index.ts';
import { AttributionWatch, type Products, type Target } from './attribution-watch.ts';
import type { CachedActivation } from './cache.ts';
import type { Cell, SweepJob } from './cells.ts';
import { corruptionOf } from './corruption.ts';
import { EditSet } from './edits.ts';
import { seed } from './gradients.ts';
import { type Intervention, interpolate } from './intervention.ts';
import { logitDifference, type Metric } from './metric.ts';
import { isByHead, towerOf } from './names.ts';
import { PatchProbe } from './probe.ts';
import { runWithCache } from './run.ts';
import type { SweepResult } from './sweep.ts';

export interface Estimates {
  /** By pair, hook point and source (`keyOf`): [positions, columns]. */
  readonly products: ReadonlyMap<string, { readonly values: Float32Array; readonly columns: number }>;
  readonly logits: ReadonlyMap<number, SweepResult['logits']>;
  /** Columns of a head. */
  perHead(hook: string): number;
}

/** Names what a hook point's estimates are kept under. */
export function keyOf(pair: number, hook: string, source: string): string {
  return `${pair} ${hook} ${source}`;
}

interface Settings {
  readonly integrated: number | undefined;
  readonly features: boolean;
  readonly signal: AbortSignal | undefined;
}

type Logits = SweepResult['logits'];

export class AttributionRuns {
  readonly #model: VisionLanguageModel;
  readonly #jobs: readonly SweepJob[];
  /** Of each pair, by hook point the hook points that its values come from. */
  readonly #sources: readonly ReadonlyMap<string, readonly string[]>[];
  readonly #settings: Settings;
  readonly #products = new Map<string, { values: Float32Array; columns: number }>();
  readonly #logits = new Map<number, Logits>();

  constructor(
    model: VisionLanguageModel,
    jobs: readonly SweepJob[],
    cells: readonly Cell[],
    settings: Settings,
  ) {
    this.#model = model;
    this.#jobs = jobs;
    this.#settings = settings;
    this.#sources = jobs.map((_, pair) => {
      const sources = new Map<string, string[]>();
      for (const { hook, source = hook } of cells.filter((cell) => cell.pair === pair)) {
        const own = sources.get(hook) ?? [];
        if (!own.includes(source)) own.push(source);
        sources.set(hook, own);
      }
      return sources;
    });
  }

  async estimate(): Promise<Estimates> {
    const groups = new Map<Sample, number[]>();
    for (const [pair, { clean }] of this.#jobs.entries())
      groups.set(clean, [...(groups.get(clean) ?? []), pair]);
    for (const [clean, pairs] of groups) await this.#group(clean, pairs);
    const { features } = this.#settings;
    const sizes = new Map(
      this.#model.hooks.map(({ name, shape }) => [name, isByHead(name) ? Number(shape.at(-1)) : 1] as const),
    );
    return {
      products: this.#products,
      logits: this.#logits,
      perHead: (hook) => (features ? (sizes.get(hook) ?? 1) : 1),
    };
  }

  /** The jobs of a clean sample. */
  async #group(clean: Sample, pairs: readonly number[]): Promise<void> {
    const { gpu } = this.#model;
    const values = new Map<string, CachedActivation>();
    try {
      const together = pairs.filter((pair) => this.#sharesImages(pair));
      await this.#walk(clean, this.#settings.integrated === undefined ? together : [], pairs, values);
      for (const pair of pairs) {
        if (this.#settings.integrated !== undefined) await this.#integrate(pair, values);
        else if (!together.includes(pair)) await this.#walk(undefined, [pair], [], values);
      }
    } finally {
      for (const { tensor } of values.values()) gpu.release(tensor);
    }
  }

  /** Whether a pair's corrupt run is what its clean run is up to the text. */
  #sharesImages(pair: number): boolean {
    const { clean, corrupt, noise } = this.#jobs[pair] as SweepJob;
    return sameImages(clean, corrupt) && (!noise || towerOf(noise.hook) === this.#model.promptTower);
  }

  /**
   * One pass forward and back.
   *
   * @param clean the clean run, if it goes along; its values are kept for all of `keptFor`
   */
  async #walk(
    clean: Sample | undefined,
    pairs: readonly number[],
    keptFor: readonly number[],
    values: Map<string, CachedActivation>,
  ): Promise<void> {
    const model = this.#model;
    const cleanRun = clean && new ModelRun(clean);
    const targets = pairs.map((pair): Target => {
      const { corrupt } = this.#jobs[pair] as SweepJob;
      const run = new ModelRun(cleanRun ? corrupt : withOwnImages(corrupt));
      return { pair, run, sources: this.#sources[pair] as Target['sources'] };
    });
    const runs = [...(cleanRun ? [cleanRun] : []), ...targets.map(({ run }) => run)];
    const corruptions = targets.flatMap(({ pair, run }) =>
      corruptionOf(model, this.#jobs[pair] as SweepJob, run),
    );
    const names = keptFor.flatMap((pair) => [...(this.#sources[pair] as Target['sources']).values()].flat());
    const made = cleanRun ? new Map<string, CachedActivation>() : values;
    await model.gpu.work(async (w) => {
      const taped = new TapedWork(w, model.family);
      const byFeature = this.#settings.features;
      const watch = new AttributionWatch(taped, targets, made, { cleanRun, cleanNames: names, byFeature });
      const logits = await this.#passes(w, taped, watch, runs, corruptions, targets);
      if (cleanRun)
        for (const pair of keptFor) this.#logitsOf(pair).clean = logits.get(cleanRun) as Float32Array;
      for (const { pair, run } of targets) this.#logitsOf(pair).corrupt = logits.get(run) as Float32Array;
      await this.#read(w, watch.products, 1);
      if (cleanRun) w.keep(...[...made.values()].map(({ tensor }) => tensor));
    }, this.#settings);
    for (const [name, value] of made) values.set(name, value);
  }

  /** Forward, and back from the metrics of the targets' runs. */
  async #passes(
    w: Work,
    taped: TapedWork,
    watch: AttributionWatch,
    runs: readonly ModelRun[],
    interventions: readonly Intervention[],
    targets: readonly Target[],
  ): Promise<Map<ModelRun, Float32Array>> {
    const edits = new EditSet(taped, runs, interventions);
    const probe = new PatchProbe(taped, { edits, watch, runs });
    const { tensor, rowOf } = await this.#model.forward(taped, runs, { probe });
    const [all] = (await w.read(tensor)) as [Float32Array<ArrayBuffer>];
    await probe.verify();
    const { columns } = tensor;
    const logits = new Map(
      runs.map((run) => [run, all.slice(rowOf(run) * columns, (rowOf(run) + 1) * columns)] as const),
    );
    if (targets.length > 0) {
      const rows = targets.map(({ run }) => rowOf(run));
      const metrics = targets.map(({ pair }) => this.#metric(pair));
      await taped.tape.backward(tensor, seed(w, tensor, rows, metrics).gradient);
    }
    return logits;
  }

  /** Gradients at midpoints between corrupt and clean value, one hook point after the other. */
  async #integrate(pair: number, values: ReadonlyMap<string, CachedActivation>): Promise<void> {
    const model = this.#model;
    const points = this.#settings.integrated as number;
    const job = this.#jobs[pair] as SweepJob;
    const { signal, features: byFeature } = this.#settings;
    const sources = this.#sources[pair] as Target['sources'];
    const { cache, logits } = await runWithCache(model, [job.corrupt], {
      names: [...sources.keys()],
      interventions: corruptionOf(model, job),
      signal,
    });
    this.#logitsOf(pair).corrupt = logits?.[0] as Float32Array;
    const unchanged = new Map(cache);
    try {
      for (const [hook, own] of sources)
        for (const source of own) {
          // Below the prompt's tower runs share what they have of an image.
          const apart = ![model.promptTower, model.towers.at(-1)].includes(towerOf(hook));
          const targets = Array.from({ length: points }, (): Target => {
            const run = new ModelRun(apart ? withOwnImages(job.corrupt) : job.corrupt);
            return { pair, run, sources: new Map([[hook, [source]]]), unchanged };
          });
          const runs = targets.map(({ run }) => run);
          const interventions = runs.flatMap((run, point) => [
            ...corruptionOf(model, job, run),
            interpolate(
              { hook, run },
              { cached: values.get(source) as CachedActivation },
              (point + 0.5) / points,
            ),
          ]);
          await model.gpu.work(async (w) => {
            const taped = new TapedWork(w, model.family);
            const watch = new AttributionWatch(taped, targets, new Map(values), { byFeature });
            await this.#passes(w, taped, watch, runs, interventions, targets);
            await this.#read(w, watch.products, points);
          }, this.#settings);
        }
    } finally {
      cache.release();
    }
  }

  /** Adds estimates up, each as one of so many. */
  async #read(w: Work, products: readonly Products[], among: number): Promise<void> {
    const read = await w.read(...products.flatMap(({ tensor }) => (tensor ? [tensor] : [])));
    for (const { pair, hook, source, tensor, columns, positions } of products) {
      const key = keyOf(pair, hook, source);
      const sum = this.#products.get(key) ?? { values: new Float32Array(positions * columns), columns };
      this.#products.set(key, sum);
      if (!tensor) continue;
      (read.shift() as Float32Array).forEach((value, i) => {
        sum.values[i] = (sum.values[i] as number) + value / among;
      });
    }
  }

  #metric(pair: number): Metric {
    const { metric, correct, incorrect } = this.#jobs[pair] as SweepJob;
    return metric ?? logitDifference(correct, incorrect);
  }

  #logitsOf(pair: number): { -readonly [K in keyof Logits]: Logits[K] } {
    const own = this.#logits.get(pair) ?? { clean: new Float32Array(), corrupt: new Float32Array() };
    this.#logits.set(pair, own);
    return own;
  }
}
