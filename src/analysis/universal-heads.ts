// Universal heads (paper, section 4.2; Tables 1 and 3): heads that stand out in every task.
//
// Per task and modality each head gets one score over the samples, and passes if its score is at or above the mean
// plus two standard deviations (ddof 0) of all heads' scores. A head is universal in a modality if it passes in all of
// the tasks; by the modalities in which it is universal it is vision-only, text-only or multimodal.

import { NoticeError } from '../errors.ts';
import type { Modality } from './cell.ts';
import type { HeadEffects } from './effects.ts';
import { mean, type Numbers, standardDeviation } from './statistics.ts';

export interface Head {
  readonly layer: number;
  readonly head: number;
}

/**
 * `absolute`: mean over samples of |LD' − LD*|, so a head counts whichever way it moves an answer (paper).
 * `signed`: mean over samples of LD' − LD*, so only a head that restores the correct answer on balance counts.
 */
export type HeadStatistic = 'absolute' | 'signed';

export const HEAD_CLASSES = ['vision-only', 'text-only', 'multimodal'] as const;
export type HeadClass = (typeof HEAD_CLASSES)[number];

/** How the heads of one task and modality compare. */
export interface HeadSelection {
  readonly task: string;
  readonly modality: Modality;
  /** Number of samples. */
  readonly n: number;
  /** [layer][head] */
  readonly scores: readonly (readonly number[])[];
  /** Of the scores over all heads, sd with ddof 0. */
  readonly mean: number;
  readonly sd: number;
  readonly threshold: number;
  readonly passing: readonly Head[];
}

export interface UniversalHeads {
  readonly statistic: HeadStatistic;
  readonly selections: readonly HeadSelection[];
  /** Per modality that was run: the heads that pass in all of its tasks. */
  readonly universal: Readonly<Partial<Record<Modality, readonly Head[]>>>;
  /** Undefined unless both modalities were run on the same tasks: "only" would say more than was looked at. */
  readonly classes: Readonly<Record<HeadClass, readonly Head[]>> | undefined;
}

/** "L3.H0", as in the paper. */
export function headLabel({ layer, head }: Head): string {
  return `L${layer}.H${head}`;
}

/**
 * @param effects one entry per task and modality, of models of the same size
 * @throws NoticeError('data') for none, two of one task and modality, or different numbers of layers or heads
 */
export function universalHeads(
  effects: readonly HeadEffects[],
  statistic: HeadStatistic = 'absolute',
): UniversalHeads {
  checkEffects(effects);
  const selections = effects.map((entry) => ({
    task: entry.task,
    modality: entry.modality,
    n: entry.samples.length,
    ...selectHeads(entry.values.map((heads) => heads.map((values) => headScore(values, statistic)))),
  }));

  const of = (modality: Modality) => selections.filter((selection) => selection.modality === modality);
  const universal: Partial<Record<Modality, Head[]>> = {};
  for (const modality of ['image', 'text'] as const) {
    const [first, ...others] = of(modality);
    if (!first) continue;
    universal[modality] = first.passing.filter((head) => others.every((other) => has(other.passing, head)));
  }

  const { image, text } = universal;
  const tasks = (modality: Modality) =>
    of(modality)
      .map(({ task }) => task)
      .sort()
      .join('\n');
  const classes =
    image && text && tasks('image') === tasks('text')
      ? {
          'vision-only': image.filter((head) => !has(text, head)),
          'text-only': text.filter((head) => !has(image, head)),
          multimodal: image.filter((head) => has(text, head)),
        }
      : undefined;
  return { statistic, selections, universal, classes };
}

/** A head's score over samples. */
export function headScore(values: Numbers, statistic: HeadStatistic): number {
  return mean(statistic === 'absolute' ? Array.from(values, Math.abs) : values);
}

/**
 * The heads at or above mean + 2 sd of all scores. If all scores are equal no head stands out and none passes, although
 * each would be at the threshold. With fewer than six heads none can pass: the largest of n values lies at most
 * (n − 1) / √n standard deviations above their mean.
 * @param scores [layer][head]
 * @throws NoticeError('data') for a score that is not finite, beside which none could pass
 */
export function selectHeads(
  scores: readonly (readonly number[])[],
): Pick<HeadSelection, 'scores' | 'mean' | 'sd' | 'threshold' | 'passing'> {
  const all = scores.flat();
  const odd = all.find((score) => !Number.isFinite(score));
  if (odd !== undefined) throw new NoticeError('data', `selectHeads: a head's score is ${odd}.`);
  const centre = mean(all);
  const sd = standardDeviation(all, 0);
  const threshold = centre + 2 * sd;
  const varied = all.some((score) => score !== all[0]);
  const passing = scores.flatMap((heads, layer) =>
    heads.flatMap((score, head) => (varied && score >= threshold ? [{ layer, head }] : [])),
  );
  return { scores, mean: centre, sd, threshold, passing };
}

/** In how many tasks each head passes in a modality, most first, with the tasks' names; heads that pass nowhere are left out. */
export function passCounts(
  { selections }: UniversalHeads,
  modality: Modality,
): { head: Head; tasks: string[] }[] {
  const counts = new Map<string, { head: Head; tasks: string[] }>();
  for (const { task, passing } of selections.filter((selection) => selection.modality === modality)) {
    for (const head of passing) {
      const entry = counts.get(headLabel(head)) ?? { head, tasks: [] };
      entry.tasks.push(task);
      counts.set(headLabel(head), entry);
    }
  }
  return [...counts.values()].sort(
    (a, b) => b.tasks.length - a.tasks.length || a.head.layer - b.head.layer || a.head.head - b.head.head,
  );
}

/** What was found in a modality, in one or two sentences; an empty set is a finding too, with the heads that came closest. */
export function describeUniversalHeads(result: UniversalHeads, modality: Modality): string {
  const selections = result.selections.filter((selection) => selection.modality === modality);
  const heads = result.universal[modality];
  if (!heads) return `The ${modality} modality was not run.`;
  const tasks = selections.length === 1 ? 'the only task' : `all ${selections.length} tasks`;
  if (heads.length > 0) {
    return `Under ${modality} corruption ${heads.map(headLabel).join(', ')} ${heads.length === 1 ? 'passes' : 'pass'} in ${tasks}.`;
  }
  const [closest] = passCounts(result, modality);
  if (!closest) {
    return `Under ${modality} corruption no head passes in any task: no score reaches mean + 2 standard deviations.`;
  }
  const most = passCounts(result, modality).filter(({ tasks }) => tasks.length === closest.tasks.length);
  return (
    `Under ${modality} corruption no head passes in ${tasks}. ` +
    `Closest: ${most.map(({ head, tasks }) => `${headLabel(head)} (${tasks.join(', ')})`).join('; ')}.`
  );
}

function has(heads: readonly Head[], { layer, head }: Head): boolean {
  return heads.some((other) => other.layer === layer && other.head === head);
}

function checkEffects(effects: readonly HeadEffects[]): void {
  const first = effects[0];
  if (!first) throw new NoticeError('data', 'universalHeads: there are no head effects.');
  const size = ({ values }: HeadEffects) => `${values.length} × ${values[0]?.length ?? 0}`;
  const seen = new Set<string>();
  for (const entry of effects) {
    const name = `${entry.task} / ${entry.modality}`;
    if (seen.has(name)) {
      throw new NoticeError(
        'data',
        `universalHeads: ${name} is there twice. Choose one corruption and site for each modality.`,
      );
    }
    seen.add(name);
    if (size(entry) !== size(first)) {
      throw new NoticeError(
        'data',
        `universalHeads: ${name} has ${size(entry)} heads (layers × heads), ${first.task} / ${first.modality} has ${size(first)}.`,
      );
    }
  }
}
