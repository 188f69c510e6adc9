// Sweeps of prepared pairs, and their results as rows of the per-cell table.

import type { CellRow, Corruption } from '../../analysis/cell.ts';
import type { VisionLanguageModel } from '../../models/index.ts';
import {
  corruptionOf,
  drawNoise,
  type NamedPass,
  namingNotFinite,
  type SiteResult,
  type SweepJob,
  type SweepResult,
  type SweepSite,
  sweep,
} from '../../patching/index.ts';
import { compatSite } from '../compat.ts';
import { sweepRows } from '../tables/sweep-rows.ts';
import type { PreparedPair } from './prepare.ts';
import { CORRUPTION_MODALITY, type ExperimentSettings } from './settings.ts';

/** One sweep of one pair. */
export interface Measurement {
  readonly prepared: PreparedPair;
  readonly task: string;
  readonly corruption: Corruption;
  readonly draw: number;
  readonly job: SweepJob;
}

/** What a walk's self-checks found. */
export interface MeasuredControls {
  readonly sample: string;
  readonly corruption: Corruption;
  /** Of the logit difference, and of the probability. */
  readonly noiseFloor: number;
  readonly noiseFloorP: number;
  readonly nullPatches: number;
}

/**
 * The sweeps that settings ask for. Those of a pair share its clean run.
 *
 * @param deviation standard deviation of the image embeddings, for noise
 */
export function measurements(
  model: VisionLanguageModel,
  settings: ExperimentSettings,
  task: string,
  prepared: PreparedPair,
  deviation: number,
): Measurement[] {
  const { clean, corruptImage, generated, text, correct, incorrect, tokens, headGroups, pair } = prepared;
  const sites: SweepSite[] = [
    ...settings.moduleSites.map((site) => ({ site, positions: tokens.map(({ position }) => position) })),
    { site: settings.headSite, heads: true, positions: headGroups.map(({ positions }) => positions) },
  ];
  return settings.corruptions.flatMap((corruption): Measurement[] => {
    const of = (job: Pick<SweepJob, 'corrupt'> & Partial<SweepJob>, draw = 0): Measurement => ({
      prepared,
      task,
      corruption,
      draw,
      job: { clean, correct, incorrect, sites, ...job },
    });
    if (corruption === 'str') return text ? [of(text)] : [];
    if (corruption === 'generated') return generated ? [of({ corrupt: generated })] : [];
    if (corruption !== 'noise') return [of({ corrupt: corruptImage })];
    return Array.from({ length: settings.noiseDraws }, (_, draw) => {
      const values = drawNoise(
        model,
        clean,
        settings.noiseScale * deviation,
        `${settings.seed}/noise/${pair.id}/${draw}`,
      );
      return of({ corrupt: clean, noise: { hook: model.imageEmbedding, values } }, draw);
    });
  });
}

/**
 * Runs sweeps in as few walks as memory allows.
 *
 * @throws NoticeError('not-finite') naming pair and hook point if the model gives values that are not finite
 */
export async function measure(
  model: VisionLanguageModel,
  settings: ExperimentSettings,
  list: readonly Measurement[],
  repeat: number,
): Promise<{ rows: CellRow[]; controls: MeasuredControls[] }> {
  const jobs = list.map(({ job }) => ({
    ...job,
    sites: job.sites.map((site) => compatSite(model, site, settings.compat)),
  }));
  const results = await namingNotFinite(
    model,
    () => list.flatMap((measurement) => passesOf(model, measurement)),
    () => sweep(model, jobs, { repeat }),
  );
  const rows = list.flatMap((measurement, i) => cellRows(measurement, results[i] as SweepResult));
  const controls = list.flatMap(({ prepared, corruption }, i) => {
    const found = results[i]?.controls;
    if (!found) return [];
    const { noiseFloor, noiseFloorP, nullPatches } = found;
    return [{ sample: prepared.pair.id, corruption, noiseFloor, noiseFloorP, nullPatches }];
  });
  return { rows, controls };
}

function passesOf(model: VisionLanguageModel, { prepared, corruption, job }: Measurement): NamedPass[] {
  const name = `pair ${prepared.pair.id}`;
  const { clean, corrupt } = job;
  const interventions = corruptionOf(model, job);
  return [
    { name: `${name}, clean`, sample: clean },
    { name: `${name}, ${corruption}`, sample: corrupt, options: { interventions } },
  ];
}

function cellRows(measurement: Measurement, result: SweepResult): CellRow[] {
  return result.sites.flatMap((site, i) =>
    siteRows(measurement, measurement.job.sites[i] as SweepSite, site, result),
  );
}

function siteRows(
  { prepared, task, corruption, draw }: Measurement,
  { site: name }: SweepSite,
  result: SiteResult,
  { baseline }: SweepResult,
): CellRow[] {
  const { pair, tokens, headGroups } = prepared;
  return Array.from(sweepRows(result), ({ group, ...row }) => {
    const token = tokens.find(({ position }) => position === row.position);
    return {
      sample: pair.id,
      task,
      category: pair.category,
      modality: CORRUPTION_MODALITY[corruption],
      corruption,
      draw,
      site: name,
      ...row,
      role: (row.head === null ? undefined : headGroups[group]?.role) ?? token?.role ?? 'rest',
      token: token?.text ?? '',
      p_clean: baseline.pClean,
      p_corrupt: baseline.pCorrupt,
      ld_clean: baseline.ldClean,
      ld_corrupt: baseline.ldCorrupt,
    };
  });
}
