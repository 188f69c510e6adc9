// What a sweep checks of itself while it runs.

import { NoticeError } from '../errors.ts';
import { type ModelRun, sameImages, type VisionLanguageModel } from '../models/index.ts';
import type { Batch } from './batch.ts';
import type { Cell, SweepJob } from './cells.ts';
import { type Edited, isPatch } from './changes.ts';
import { type Intervention, replace, scale } from './intervention.ts';
import { blindPositions } from './knockout.ts';

export interface Controls {
  /** Patches of the corrupt run with its own values: their effect, exactly 0. */
  readonly nullPatches: number;
  /** Everything the answer depends on replaced by the clean run's: gives the clean logits. */
  readonly fullRestoration: true;
  /**
   * Change of the logit difference when the embeddings of the prompt, from the first token that corruption changes, are
   * scaled by 1 + 2⁻²³, one unit in the last place: smaller effects cannot be told from rounding.
   */
  readonly noiseFloor: number;
  /** The same change of the correct answer's probability. */
  readonly noiseFloorP: number;
  /** The same change of the job's metric, where it has one. */
  readonly noiseFloorMetric?: number | undefined;
}

/** A run of a control. */
export interface Check {
  readonly kind: 'null' | 'restoration' | 'rounding';
  readonly pair: number;
  readonly run: ModelRun;
  readonly interventions: readonly Intervention[];
}

/** Adds the control runs of every pair of a walk to its batch. */
export function controlRuns(
  model: VisionLanguageModel,
  jobs: readonly SweepJob[],
  cells: readonly (Cell | Edited)[],
  batch: Batch,
): Check[] {
  const tower = model.promptTower;
  const [firstHook, lastHook] = [model.promptEmbedding, model.promptOutput];
  return [...new Set(cells.map(({ pair }) => pair))].flatMap((pair) => {
    const own = cells.filter((cell) => cell.pair === pair);
    const { clean, corrupt } = batch.bases(pair);
    const job = jobs[pair] as SweepJob;
    const all = Array.from(job.clean.ids, (_, position) => position);
    // One null patch per site, at a cell in the middle; one of what is no patch.
    const patches = own.filter(isPatch);
    const edited = own.filter((cell): cell is Edited => !isPatch(cell));
    const nullRun = edited[Math.floor(edited.length / 2)]?.nullRun?.(batch);
    const sites = [...new Set(patches.map(({ site }) => site))];
    const nulls = sites.map((site): Check => {
      const of = patches.filter((cell) => cell.site === site);
      const { hook, tower: at, positions, head } = of[Math.floor(of.length / 2)] as Cell;
      const run = batch.derive(pair, at);
      const target = { hook, run, positions, ...(head === undefined ? {} : { heads: [head] }) };
      return { kind: 'null', pair, run, interventions: [replace(target, { run: corrupt })] };
    });
    const restored = batch.derive(pair, tower);
    const rounded = batch.derive(pair, tower);
    return [
      ...nulls,
      ...(nullRun ? [{ kind: 'null', pair, ...nullRun } as const] : []),
      {
        kind: 'restoration',
        pair,
        run: restored,
        interventions: [replace({ hook: lastHook, run: restored, positions: all }, { run: clean })],
      },
      {
        kind: 'rounding',
        pair,
        run: rounded,
        interventions: [
          scale(
            { hook: firstHook, run: rounded, positions: all.slice(firstChange(model, job)) },
            1 + 2 ** -23,
          ),
        ],
      },
    ];
  });
}

/**
 * The first position that corruption changes. A causal tower has computed those before it, an image's hundreds, with the
 * clean run, and a control that changed them would be the longest run of the walk.
 */
function firstChange(model: VisionLanguageModel, { clean, corrupt, noise, noImage }: SweepJob): number {
  if (!sameImages(clean, corrupt) || noise || `${clean.instruction}` !== `${corrupt.instruction}`) return 0;
  const changed = clean.ids.findIndex((id, position) => id !== corrupt.ids[position]);
  const blind = noImage ? blindPositions(model, corrupt.ids).slice(0, 1) : [];
  const changes = [changed, ...blind].filter((position) => position >= 0);
  return changes.length > 0 ? Math.min(...changes) : 0;
}

/** A control run as it was measured. */
export interface Checked extends Check {
  /** The four numbers. */
  readonly effect: Float32Array;
  /** Of the job's metric, where it has one. */
  readonly metricEffect: number | undefined;
  readonly logits: Float32Array;
}

/**
 * @param checks a pair's control runs
 * @throws NoticeError('control')
 */
export function checkControls(checks: readonly Checked[], clean: Float32Array): Controls {
  let nullPatches = 0;
  let floors: Omit<Controls, 'nullPatches' | 'fullRestoration'> = { noiseFloor: 0, noiseFloorP: 0 };
  for (const { kind, effect, metricEffect, logits, interventions, pair } of checks) {
    const [, pEffect = 0, ldEffect = 0] = effect;
    if (kind === 'rounding')
      floors = {
        noiseFloor: Math.abs(ldEffect),
        noiseFloorP: Math.abs(pEffect),
        noiseFloorMetric: metricEffect === undefined ? undefined : Math.abs(metricEffect),
      };
    if (kind === 'null') {
      nullPatches++;
      for (const [what, change] of [
        ['logit difference', ldEffect],
        ['probability', pEffect],
        ['metric', metricEffect ?? 0],
      ] as const) {
        if (change === 0) continue;
        throw new NoticeError(
          'control',
          `pair ${pair}: a null patch at ${interventions[0]?.hook} changed the ${what} by ${change} instead of 0`,
        );
      }
    }
    if (kind === 'restoration') {
      const at = logits.findIndex((value, i) => value !== clean[i]);
      if (at >= 0)
        throw new NoticeError(
          'control',
          `pair ${pair}: full restoration gives logit ${logits[at]} for token ${at}, the clean run ${clean[at]}`,
        );
    }
  }
  return { nullPatches, fullRestoration: true, ...floors };
}

/** What several walks over the cells of a pair found. */
export function mergeControls(a: Controls | undefined, b: Controls | undefined): Controls | undefined {
  if (!a || !b) return a ?? b;
  return {
    nullPatches: a.nullPatches + b.nullPatches,
    fullRestoration: true,
    noiseFloor: Math.max(a.noiseFloor, b.noiseFloor),
    noiseFloorP: Math.max(a.noiseFloorP, b.noiseFloorP),
    noiseFloorMetric:
      a.noiseFloorMetric === undefined || b.noiseFloorMetric === undefined
        ? undefined
        : Math.max(a.noiseFloorMetric, b.noiseFloorMetric),
  };
}
