// What a person should know of an experiment before its first question, though it can be done.

import { correctFirst } from '../datasets/options.ts';
import type { Pair } from '../datasets/pair.ts';
import type { TaskInput } from './context.ts';
import { CORRUPTION_MODALITY, type ExperimentSettings } from './settings.ts';

/** Pairs from which on the places of the correct options are judged. */
const FEW_PAIRS = 4;

/** Of the pairs the smallest share that names the correct option first, or second, without a word being said. */
const SMALLEST_SHARE = 1 / 4;

/** Lines about the tasks, each naming its task and what helps. */
export function inputWarnings(
  tasks: readonly Pick<TaskInput, 'task' | 'pairs'>[],
  { corruptions }: Pick<ExperimentSettings, 'corruptions'>,
): string[] {
  const semantic = corruptions.some((corruption) => corruption !== 'noise');
  return [
    ...tasks.flatMap(({ task, pairs }) => [
      ...optionOrderWarning(task, pairs),
      ...(corruptions.some((corruption) => CORRUPTION_MODALITY[corruption] === 'text')
        ? textWarning(task, pairs)
        : []),
    ]),
    ...(semantic && tasks.length === 1
      ? ['There is one task: whether heads are universal can be said of two or more (--data a.csv,b.csv).']
      : []),
  ];
}

/** Where nearly all questions name the correct option at the same place, a model that always takes that one is right. */
export function optionOrderWarning(name: string, pairs: readonly Pair[]): string[] {
  const first = pairs.filter(correctFirst).length;
  const rarer = Math.min(first, pairs.length - first);
  if (pairs.length < FEW_PAIRS || rarer >= pairs.length * SMALLEST_SHARE) return [];
  return [
    `${name}: correct option first in ${first} of ${pairs.length}. A model that always takes the ${2 * first > pairs.length ? 'first' : 'second'} ` +
      `is mostly right, and a balanced selection has ${2 * rarer} pairs at most: write about half of the questions the other way round.`,
  ];
}

/** Pairs whose corrupt prompt is the clean one. */
export function textWarning(name: string, pairs: readonly Pair[]): string[] {
  const without = pairs.filter(({ cleanPrompt, corruptPrompt }) => corruptPrompt === cleanPrompt).length;
  if (without === 0) return [];
  return [
    `${name}: ${without} of ${pairs.length} pairs have no text corruption, their corrupt prompt is the clean one. ` +
      '`notice data str` makes others; --corruptions sip does without.',
  ];
}
